/// Something that can be registered.
pub trait Source {}
