//! A waker that is silent while who it would wake is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Wakes a connection's task, unless that is at work on a stream and will look at the connection
/// before it waits.
///
/// What a handler in the connection's own task sends would wake it, and with it a thread that looks
/// for work: once for every call.
pub(super) struct Gate {
    inner: Arc<Inner>,
    waker: Waker,
}

struct Inner {
    task: Waker,
    shut: AtomicBool,
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.shut.load(Ordering::SeqCst) {
            self.task.wake_by_ref();
        }
    }
}

impl Gate {
    pub(super) fn new(task: &Waker) -> Self {
        let inner = Arc::new(Inner {
            task: task.clone(),
            shut: AtomicBool::new(false),
        });
        Self {
            waker: inner.clone().into(),
            inner,
        }
    }

    /// Whether it wakes the same task as `task`.
    pub(super) fn is_of(&self, task: &Waker) -> bool {
        self.inner.task.will_wake(task)
    }

    /// From here on wakes go through. What they would have told before shows when the connection is
    /// polled, which must follow.
    pub(super) fn open(&self) -> &Waker {
        self.inner.shut.store(false, Ordering::SeqCst);
        &self.waker
    }

    /// From here on wakes are lost: the task must poll the connection again before it waits.
    pub(super) fn shut(&self) {
        self.inner.shut.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn wakes_go_through_while_it_is_open() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let task = Waker::from(count.clone());
        let gate = Gate::new(&task);
        assert!(gate.is_of(&task) && !gate.is_of(Waker::noop()));
        let waker = gate.open().clone();
        waker.wake_by_ref();
        gate.shut();
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        gate.open();
        waker.wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
    }
}
