//! The order in which an object's needs, and theirs, are looked at.

/// The objects in search order, and whose needs were looked at.
///
/// What an object filters comes before the object itself, so its needs are next in turn: before those of
/// objects that were loaded earlier. Source: `_dl_map_object_deps` in glibc's elf/dl-deps.c.
pub(super) struct Queue {
    order: Vec<usize>,
    /// Where the current object was when its turn came; all before are done.
    start: usize,
    /// Where it is, behind what it filters.
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

    /// The next object whose needs are to be looked at.
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

    /// Puts an object before the current one, unless it is before it already.
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

    /// Whether it is new.
    fn insert(&mut self, index: usize) -> bool {
        self.0.resize(self.0.len().max(index + 1), false);
        !std::mem::replace(&mut self.0[index], true)
    }
}
