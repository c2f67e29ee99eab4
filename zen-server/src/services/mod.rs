//! What the servers say: one file per service, each a [`Protocol`](reactor::event_loop::Protocol) written once.
//!
//! | service | port | a client sends | the server answers |
//! |---|---|---|---|
//! | [`zen`] | 1060 | a question that ends with `?` | an answer that ends with `.` |

pub mod zen;
