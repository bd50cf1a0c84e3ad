//! Which fields and oneofs of an object were there already.

/// A set of small numbers: the first 64 in a register, the others on a stack that all open objects share.
#[derive(Debug)]
pub(super) struct Seen {
    first: u64,
    base: usize,
}

impl Seen {
    /// For an object that opens while the stack is `base` long.
    pub(super) fn new(base: usize) -> Seen {
        Seen { first: 0, base }
    }

    /// True when `index` is new.
    #[inline]
    pub(super) fn insert(&mut self, index: usize, stack: &mut Vec<u64>) -> bool {
        let bit = 1 << (index % 64);
        let word = if index < 64 {
            &mut self.first
        } else {
            let at = self.base + index / 64 - 1;
            if stack.len() <= at {
                stack.resize(at + 1, 0);
            }
            &mut stack[at]
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// The object closes.
    pub(super) fn close(self, stack: &mut Vec<u64>) {
        stack.truncate(self.base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_do_not_see_each_others_fields() {
        let mut stack = Vec::new();
        let mut outer = Seen::new(stack.len());
        assert!(outer.insert(3, &mut stack) && outer.insert(70, &mut stack));
        let mut inner = Seen::new(stack.len());
        assert!(
            inner.insert(3, &mut stack) && inner.insert(70, &mut stack) && inner.insert(1000, &mut stack)
        );
        assert!(!inner.insert(1000, &mut stack));
        inner.close(&mut stack);
        assert!(!outer.insert(3, &mut stack) && !outer.insert(70, &mut stack));
        assert!(outer.insert(1000, &mut stack), "left behind by the inner object");
    }
}
