//! The order in which the needs of an object, and of the objects it leads to, are followed.

/// The objects in search order, with a record of those whose needs were followed.
///
/// The objects that an object filters come before the object itself, so their needs are next in turn: before those of
/// objects that were loaded earlier. Source: `_dl_map_object_deps` in glibc's elf/dl-deps.c.
pub(super) struct Queue {
    order: Vec<usize>,
    /// The index that the current object had when its turn came; all before it are done.
    start: usize,
    /// The index of the current object, after the objects that it filters.
    current: usize,
    queued: Set,
    done: Set,
}

impl Queue {
    pub(super) fn new(root: usize) -> Self {
        let mut queue =
            Queue { order: Vec::new(), start: 0, current: 0, queued: Set::default(), done: Set::default() };
        queue.append(root);
        queue
    }

    /// The next object whose needs are to be followed.
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.order.get(self.start).is_some_and(|index| self.done.has(*index)) {
            self.start += 1;
        }
        self.current = self.start;
        let next = *self.order.get(self.start)?;
        self.done.insert(next);
        Some(next)
    }

    pub(super) fn append(&mut self, index: usize) {
        if self.queued.insert(index) {
            self.order.push(index);
        }
    }

    /// Inserts an object before the current one, unless it is already before it.
    pub(super) fn insert_before_current(&mut self, index: usize) {
        if !self.queued.insert(index) {
            let later = self.order[self.current + 1..].iter().position(|known| *known == index);
            let Some(later) = later else { return };
            self.order.remove(self.current + 1 + later);
        }
        self.order.insert(self.current, index);
        self.current += 1;
    }

    /// The objects in search order.
    pub(super) fn into_order(self) -> Vec<usize> {
        self.order
    }
}

/// A set of small numbers.
#[derive(Default)]
struct Set(Vec<bool>);

impl Set {
    fn has(&self, index: usize) -> bool {
        self.0.get(index).copied().unwrap_or_default()
    }

    /// Adds a number. Returns whether it is new.
    fn insert(&mut self, index: usize) -> bool {
        self.0.resize(self.0.len().max(index + 1), false);
        !std::mem::replace(&mut self.0[index], true)
    }
}
