//! kqueue(2) over epoll(7): enough of it to run the kqueue backend on a Linux machine.
//!
//! It is a module for a scratch copy of the `libc` crate (`run` makes one), because that is where the backend expects the BSDs'
//! declarations; nothing of the library or of its other tests is compiled with it. It keeps to the manual pages of the BSDs:
//! * a knote is an identifier and a filter; adding one that is there changes its data, not its trigger;
//! * an event is looked at again before it is told, and one that is over is not told;
//! * `EV_CLEAR`, `EV_ONESHOT`, `EV_DISPATCH`, level; `EV_RECEIPT`, `EV_ERROR` with the error in `data`;
//! * `EV_EOF` for each direction by itself, with a socket's error in `fflags`; nothing of a socket that was never connected;
//! * a close removes the knotes of its number, whatever duplicates there are, and `shutdown` of the writing direction is told
//!   by the write filter. Linux tells nobody of either, so both functions are replaced here, for the whole program.
//!
//! Where it differs: `data` of an event is zero; the error in `fflags` is always the same, because Linux forgets an error that
//! was asked for; an edge that one filter heard is heard by the others of the descriptor too; and there are no filters but
//! `READ`, `WRITE`, `EXCEPT` and `USER`.

extern crate std;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::vec::Vec;

use crate::{c_int, c_void, intptr_t, timespec, uintptr_t};

#[derive(Clone, Copy)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct kevent {
    pub ident: uintptr_t,
    pub filter: i16,
    pub flags: u16,
    pub fflags: u32,
    pub data: intptr_t,
    pub udata: *mut c_void,
}

pub const EVFILT_READ: i16 = -1;
pub const EVFILT_WRITE: i16 = -2;
pub const EVFILT_USER: i16 = -11;
pub const EVFILT_EXCEPT: i16 = -12;

pub const EV_ADD: u16 = 0x1;
pub const EV_DELETE: u16 = 0x2;
pub const EV_ENABLE: u16 = 0x4;
pub const EV_DISABLE: u16 = 0x8;
pub const EV_ONESHOT: u16 = 0x10;
pub const EV_CLEAR: u16 = 0x20;
pub const EV_RECEIPT: u16 = 0x40;
pub const EV_DISPATCH: u16 = 0x80;
pub const EV_ERROR: u16 = 0x4000;
pub const EV_EOF: u16 = 0x8000;

pub const NOTE_TRIGGER: u32 = 0x0100_0000;
pub const NOTE_OOB: u32 = 0x2;

/// All kqueues of the process, by descriptor.
static QUEUES: Mutex<BTreeMap<c_int, Arc<Queue>>> = Mutex::new(BTreeMap::new());

/// The inodes of the sockets whose writing direction this process has shut down. (Linux does not use one twice for long.)
static SHUT_DOWN: Mutex<Option<HashSet<u64>>> = Mutex::new(None);

/// Whoever links `kqueue` links the two functions that it replaces.
#[used]
static REPLACED: (unsafe extern "C" fn(c_int) -> c_int, unsafe extern "C" fn(c_int, c_int) -> c_int) =
    (close, shutdown);

/// The kqueue's own descriptor is the epoll instance, which has each watched descriptor once, with edges.
struct Queue {
    epoll: c_int,
    /// An eventfd in it, for what epoll cannot know.
    bell: c_int,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    knotes: BTreeMap<Name, Knote>,
    /// Those that may have something to tell, in the order in which they got it.
    active: VecDeque<Name>,
}

/// The identifier first, so that the knotes of one descriptor stand together.
type Name = (usize, i16);

#[derive(Clone, Copy)]
struct Knote {
    /// `EV_CLEAR`, `EV_ONESHOT`, `EV_DISPATCH`, as added.
    mode: u16,
    udata: usize,
    is_enabled: bool,
    is_active: bool,
    /// There was something to tell when it was looked at last.
    was_so: bool,
}

const BELL: u64 = u64::MAX;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn errno() -> c_int {
    // SAFETY: the address of this thread's own variable.
    unsafe { *crate::__errno_location() }
}

fn fail(error: c_int) -> c_int {
    // SAFETY: as above.
    unsafe { *crate::__errno_location() = error };
    -1
}

/// kqueue(2).
///
/// # Safety
/// Always safe to call; unsafe because the C library's functions are.
pub unsafe extern "C" fn kqueue() -> c_int {
    // SAFETY: neither takes pointers.
    let (epoll, bell) =
        unsafe { (crate::epoll_create1(0), crate::eventfd(0, crate::EFD_NONBLOCK | crate::EFD_CLOEXEC)) };
    if epoll == -1 || bell == -1 {
        let error = errno();
        close_both(epoll, bell);
        return fail(error);
    }
    let mut event = crate::epoll_event { events: crate::EPOLLIN as u32, u64: BELL };
    // SAFETY: both descriptors are open, and `event` outlives the call.
    unsafe { crate::epoll_ctl(epoll, crate::EPOLL_CTL_ADD, bell, &mut event) };
    lock(&QUEUES).insert(epoll, Arc::new(Queue { epoll, bell, state: Mutex::default() }));
    epoll
}

fn close_both(epoll: c_int, bell: c_int) {
    for fd in [epoll, bell] {
        // SAFETY: the direct call: nothing but the number is looked at.
        unsafe { crate::syscall(crate::SYS_close, fd) };
    }
}

/// kevent(2).
///
/// # Safety
/// The two lists must be readable and writable for their lengths, and may be the same; `timeout` is null or valid.
pub unsafe extern "C" fn kevent(
    kq: c_int,
    changes: *const kevent,
    change_count: c_int,
    events: *mut kevent,
    event_count: c_int,
    timeout: *const timespec,
) -> c_int {
    let Some(queue) = lock(&QUEUES).get(&kq).cloned() else { return fail(crate::EBADF) };
    let mut told = 0;
    for index in 0..change_count as usize {
        // SAFETY: below `change_count`. It is copied before a receipt may be written over it.
        let change = unsafe { *changes.add(index) };
        let error = queue.change(&change).err().unwrap_or(0);
        if error == 0 && change.flags & EV_RECEIPT == 0 {
            continue;
        }
        if told == event_count {
            return fail(error);
        }
        let receipt = kevent { flags: EV_ERROR, data: error as intptr_t, ..change };
        // SAFETY: below `event_count`, as checked.
        unsafe { events.add(told as usize).write(receipt) };
        told += 1;
    }
    if told > 0 || event_count == 0 {
        return told;
    }
    // SAFETY: null or valid.
    let timeout = unsafe { timeout.as_ref() };
    let timeout = timeout.map(|limit| Duration::new(limit.tv_sec as u64, limit.tv_nsec as u32));
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let mut found = Vec::new();
        queue.scan(event_count as usize, &mut found);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if !found.is_empty() || left == Some(Duration::ZERO) {
            for (index, event) in found.iter().enumerate() {
                // SAFETY: there are at most `event_count`.
                unsafe { events.add(index).write(*event) };
            }
            return found.len() as c_int;
        }
        if let Err(error) = sleep(queue.epoll, left) {
            return fail(error);
        }
    }
}

/// Waits until there is something in an epoll instance.
fn sleep(epoll: c_int, left: Option<Duration>) -> Result<(), c_int> {
    let limit = left.map(|left| timespec {
        tv_sec: left.as_secs() as crate::time_t,
        tv_nsec: left.subsec_nanos() as crate::c_long,
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut entry = crate::pollfd { fd: epoll, events: crate::POLLIN, revents: 0 };
    // SAFETY: one entry; the limit is null or outlives the call; a null mask means none.
    match unsafe { crate::ppoll(&mut entry, 1, limit, std::ptr::null()) } {
        -1 => Err(errno()),
        _ => Ok(()),
    }
}

impl Queue {
    fn change(&self, change: &kevent) -> Result<(), c_int> {
        let name = (change.ident, change.filter);
        let mut state = lock(&self.state);
        self.hear(&mut state); // what happened before it stands before it
        if change.flags & EV_ADD != 0 && !state.knotes.contains_key(&name) {
            self.check(name)?;
            if change.filter != EVFILT_USER {
                self.watch(&state, change.ident as c_int)?;
            }
            let mode = change.flags & (EV_CLEAR | EV_ONESHOT | EV_DISPATCH);
            let udata = change.udata as usize;
            state
                .knotes
                .insert(name, Knote { mode, udata, is_enabled: true, is_active: false, was_so: false });
        }
        let Some(knote) = state.knotes.get_mut(&name) else { return Err(crate::ENOENT) };
        if change.flags & EV_DELETE != 0 {
            state.knotes.remove(&name);
            self.unwatch(&state, name.0);
            return Ok(());
        }
        if change.flags & EV_ADD != 0 {
            knote.udata = change.udata as usize;
            knote.is_enabled = true;
        }
        if change.flags & EV_ENABLE != 0 {
            knote.is_enabled = true;
        }
        if change.flags & EV_DISABLE != 0 {
            knote.is_enabled = false;
        }
        let is_so = match change.filter {
            EVFILT_USER => change.fflags & NOTE_TRIGGER != 0,
            _ => change.flags & EV_ADD != 0 && look(name).is_some(),
        };
        if is_so {
            state.activate(name);
        }
        self.ring();
        Ok(())
    }

    /// What cannot be added at all.
    fn check(&self, (ident, filter): Name) -> Result<(), c_int> {
        match filter {
            EVFILT_USER => Ok(()),
            EVFILT_READ | EVFILT_WRITE | EVFILT_EXCEPT => {
                let fd = ident as c_int;
                // SAFETY: takes no pointers.
                if unsafe { crate::fcntl(fd, crate::F_GETFD) } == -1 {
                    return Err(crate::EBADF);
                }
                let is_broken = filter == EVFILT_WRITE
                    && is_kind(fd, crate::S_IFIFO)
                    && now(fd) & (crate::POLLERR | crate::POLLHUP) != 0;
                if is_broken { Err(crate::EPIPE) } else { Ok(()) }
            }
            _ => Err(crate::EINVAL),
        }
    }

    /// Puts a descriptor into the epoll instance, unless another knote did.
    fn watch(&self, state: &State, fd: c_int) -> Result<(), c_int> {
        if state.names_of(fd as usize).next().is_some() {
            return Ok(());
        }
        let all = crate::EPOLLIN | crate::EPOLLRDHUP | crate::EPOLLOUT | crate::EPOLLPRI | crate::EPOLLET;
        let mut event = crate::epoll_event { events: all as u32, u64: fd as u64 };
        // SAFETY: `event` outlives the call.
        match unsafe { crate::epoll_ctl(self.epoll, crate::EPOLL_CTL_ADD, fd, &mut event) } {
            -1 if errno() == crate::EPERM => Err(crate::ENODEV),
            -1 => Err(errno()),
            _ => Ok(()),
        }
    }

    /// Takes a descriptor out when its last knote is gone.
    fn unwatch(&self, state: &State, ident: usize) {
        if state.names_of(ident).next().is_none() {
            // SAFETY: a null event is allowed for this operation.
            unsafe {
                crate::epoll_ctl(self.epoll, crate::EPOLL_CTL_DEL, ident as c_int, std::ptr::null_mut());
            }
        }
    }

    fn ring(&self) {
        let one = 1u64;
        // SAFETY: eight readable bytes.
        unsafe { crate::write(self.bell, (&raw const one).cast(), 8) };
    }

    /// Collects what is to be told, at most so much.
    fn scan(&self, room: usize, found: &mut Vec<kevent>) {
        let mut state = lock(&self.state);
        self.hear(&mut state);
        for _ in 0..state.active.len() {
            if found.len() == room {
                break;
            }
            let Some(name) = state.active.pop_front() else { break };
            let Some(knote) = state.knotes.get_mut(&name) else { continue };
            if !knote.is_enabled {
                continue; // active it stays, until it is enabled
            }
            let Some(event) = look(name) else {
                knote.is_active = false;
                continue;
            };
            found.push(kevent {
                udata: knote.udata as *mut c_void,
                flags: event.flags | knote.mode,
                ..event
            });
            if knote.mode & EV_DISPATCH != 0 {
                knote.is_enabled = false;
            }
            if knote.mode & (EV_CLEAR | EV_DISPATCH) != 0 {
                knote.is_active = false;
            } else if knote.mode & EV_ONESHOT == 0 {
                state.active.push_back(name);
            }
            if state.knotes.get(&name).is_some_and(|knote| knote.mode & EV_ONESHOT != 0) {
                state.knotes.remove(&name);
                self.unwatch(&state, name.0);
            }
        }
        if !state.active.is_empty() {
            self.ring(); // the kqueue is readable as long as a knote is queued
        }
    }

    /// Takes in what epoll heard.
    fn hear(&self, state: &mut State) {
        let mut heard = [crate::epoll_event { events: 0, u64: 0 }; 256];
        loop {
            // SAFETY: there is room for 256.
            let count = unsafe { crate::epoll_wait(self.epoll, heard.as_mut_ptr(), 256, 0) };
            for event in &heard[..count.max(0) as usize] {
                if event.u64 == BELL {
                    let mut sum = 0u64;
                    // SAFETY: eight writable bytes.
                    unsafe { crate::read(self.bell, (&raw mut sum).cast(), 8) };
                    continue;
                }
                for name in state.names_of(event.u64 as usize).collect::<Vec<_>>() {
                    if look(name).is_some() {
                        state.activate(name);
                    }
                }
            }
            if count < 256 {
                break;
            }
        }
        // What has become so, but epoll is about to hear of it; what stays so; and what was enabled after it had become active.
        for name in state.knotes.keys().copied().collect::<Vec<_>>() {
            let is_so = if name.1 == EVFILT_USER { false } else { look(name).is_some() };
            let is_queued = state.active.contains(&name);
            let Some(knote) = state.knotes.get_mut(&name) else { continue };
            let is_news = is_so && (!knote.was_so || knote.mode & EV_CLEAR == 0);
            knote.was_so = is_so;
            if knote.is_enabled && !is_queued && (is_news || knote.is_active) {
                knote.is_active = true;
                state.active.push_back(name);
            }
        }
    }
}

impl State {
    /// The knotes of a descriptor.
    fn names_of(&self, ident: usize) -> impl Iterator<Item = Name> + '_ {
        let names = self.knotes.range((ident, i16::MIN)..=(ident, i16::MAX)).map(|(name, _)| *name);
        names.filter(|(_, filter)| *filter != EVFILT_USER)
    }

    fn activate(&mut self, name: Name) {
        let Some(knote) = self.knotes.get_mut(&name) else { return };
        if !std::mem::replace(&mut knote.is_active, true) {
            self.active.push_back(name);
        }
    }
}

/// What a filter says of its descriptor now; `None`: nothing.
fn look((ident, filter): Name) -> Option<kevent> {
    let silent = kevent { ident, filter, flags: 0, fflags: 0, data: 0, udata: std::ptr::null_mut() };
    if filter == EVFILT_USER {
        return Some(silent);
    }
    let fd = ident as c_int;
    let told = now(fd);
    let has = |flags| told & flags != 0;
    let is_socket = is_kind(fd, crate::S_IFSOCK);
    let hang_up = crate::POLLHUP | if is_socket { 0 } else { crate::POLLERR }; // a pipe's other end is gone
    let end = crate::POLLRDHUP | hang_up;
    if has(crate::POLLNVAL) || (is_socket && told & (end | crate::POLLERR) == crate::POLLHUP) {
        return None; // closed, or never connected
    }
    let (is_so, has_ended) = match filter {
        EVFILT_READ => (has(crate::POLLIN | end | crate::POLLERR), has(end)),
        EVFILT_WRITE => {
            let is_over = has(hang_up) || is_shut_down(fd);
            (has(crate::POLLOUT | crate::POLLERR) || is_over, is_over)
        }
        _ => (has(crate::POLLPRI), false),
    };
    let error = if has_ended && is_socket && has(crate::POLLERR) { crate::ECONNRESET as u32 } else { 0 };
    let fflags = if filter == EVFILT_EXCEPT { NOTE_OOB } else { error };
    is_so.then_some(kevent { flags: if has_ended { EV_EOF } else { 0 }, fflags, ..silent })
}

/// What poll(2) says of a descriptor.
fn now(fd: c_int) -> crate::c_short {
    let all = crate::POLLIN | crate::POLLPRI | crate::POLLOUT | crate::POLLRDHUP;
    let mut entry = crate::pollfd { fd, events: all, revents: 0 };
    // SAFETY: one entry.
    unsafe { crate::poll(&mut entry, 1, 0) };
    entry.revents
}

fn status(fd: c_int) -> Option<crate::stat> {
    // SAFETY: all zeroes is a valid `stat`, which has room for what is written.
    unsafe {
        let mut status: crate::stat = std::mem::zeroed();
        (crate::fstat(fd, &mut status) == 0).then_some(status)
    }
}

fn is_kind(fd: c_int, kind: crate::mode_t) -> bool {
    status(fd).is_some_and(|status| status.st_mode & crate::S_IFMT == kind)
}

fn is_shut_down(fd: c_int) -> bool {
    let of = |inodes: &HashSet<u64>| status(fd).is_some_and(|status| inodes.contains(&status.st_ino));
    lock(&SHUT_DOWN).as_ref().is_some_and(of)
}

/// close(2), which removes the knotes of the number.
///
/// # Safety
/// As the C library's.
#[no_mangle]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    let mut queues = lock(&QUEUES);
    let closed = queues.remove(&fd);
    for queue in queues.values() {
        let mut state = lock(&queue.state);
        let names: Vec<Name> = state.names_of(fd as usize).collect();
        for name in &names {
            state.knotes.remove(name);
        }
        if !names.is_empty() {
            queue.unwatch(&state, fd as usize);
        }
    }
    drop(queues);
    if let Some(queue) = closed {
        close_both(queue.bell, -1);
    }
    // SAFETY: the direct call: nothing but the number is looked at.
    unsafe { crate::syscall(crate::SYS_close, fd) as c_int }
}

/// shutdown(2), which the write filter tells of.
///
/// # Safety
/// As the C library's.
#[no_mangle]
pub unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    // SAFETY: the direct call: nothing but the numbers is looked at.
    let result = unsafe { crate::syscall(crate::SYS_shutdown, fd, how) as c_int };
    let Some(inode) = status(fd).map(|status| status.st_ino) else { return result };
    if result == 0 && how != crate::SHUT_RD {
        lock(&SHUT_DOWN).get_or_insert_with(HashSet::new).insert(inode);
        for queue in lock(&QUEUES).values() {
            let mut state = lock(&queue.state);
            let names: Vec<Name> = state.names_of(fd as usize).collect();
            for name in names.into_iter().filter(|(_, filter)| *filter == EVFILT_WRITE) {
                state.activate(name);
                queue.ring();
            }
        }
    }
    result
}
