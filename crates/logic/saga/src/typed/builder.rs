//! How a definition is put together: the type says where it is, so that what is out of place does not compile.

use std::fmt;
use std::marker::PhantomData;

use super::outputs::Pick;
use super::step::{Action, Plain, Read, Undo, Undoable};
use super::{Input, InvalidDefinition, Saga, Step};
use crate::plan::{Kind, PlanStep};

/// Where a definition is.
pub trait Phase {}
/// Before the pivot.
pub trait Early: Phase {}
/// With at least one step.
pub trait Some: Phase {}

macro_rules! phases {
    ($($(#[$doc:meta])* $name:ident: $($is:ident)*;)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;
        $(impl $is for $name {})*
    )* };
}

phases! {
    /// There is no step yet.
    Start: Phase Early;
    /// The last step is a compensable one.
    Compensables: Phase Early Some;
    /// The last step is the pivot.
    AfterPivot: Phase Some;
    /// The last step is a retriable one.
    Retriables: Phase Some;
}

/// A definition in the making: of input `T`, in the phase `P`. `Before` are the outputs that the present stage may take, `Outs`
/// those that the next one may.
pub struct Builder<T, P, Before, Outs> {
    steps: Vec<Step<T>>,
    /// So many steps are before the present stage.
    before: usize,
    place: PhantomData<(P, Before, Outs)>,
}

impl<T, P, B, O> fmt::Debug for Builder<T, P, B, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| &step.plan.name)).finish()
    }
}

impl<T: Input> Builder<T, Start, (), ()> {
    pub(super) fn new() -> Self {
        Self { steps: Vec::new(), before: 0, place: PhantomData }
    }
}

impl<T: Input, P: Phase, Before: 'static, Outs: 'static> Builder<T, P, Before, Outs> {
    /// The builder with one more step, which begins a stage.
    fn stage<Q, Next>(mut self, step: Step<T>) -> Builder<T, Q, Outs, Next> {
        let before = self.steps.len();
        self.steps.push(step);
        Builder { steps: self.steps, before, place: PhantomData }
    }

    fn join<Next>(mut self, mut step: Step<T>) -> Builder<T, P, Before, Next> {
        step.plan.together = true;
        self.steps.push(step);
        Builder { steps: self.steps, before: self.before, place: PhantomData }
    }

    /// A step that is retried until it succeeds, and never undone.
    pub fn retriable<S: Action<T>, I: 'static>(
        self,
        step: S,
    ) -> Builder<T, Retriables, Outs, (S::Output, Outs)>
    where
        Outs: Pick<S::Needs, I>,
    {
        let before = self.steps.len();
        self.stage(plain::<T, S, Outs, I>(step, Kind::Retriable, before))
    }
}

impl<T: Input, P: Early, Before: 'static, Outs: 'static> Builder<T, P, Before, Outs> {
    /// A step that is undone if the saga turns.
    pub fn compensable<S: Undo<T>, I: 'static>(
        self,
        step: S,
    ) -> Builder<T, Compensables, Outs, (S::Output, Outs)>
    where
        Outs: Pick<S::Needs, I>,
    {
        let before = self.steps.len();
        self.stage(undoable::<T, S, Outs, I>(step, before))
    }

    /// The step that decides. There is one at most.
    pub fn pivot<S: Action<T>, I: 'static>(self, step: S) -> Builder<T, AfterPivot, Outs, (S::Output, Outs)>
    where
        Outs: Pick<S::Needs, I>,
    {
        let before = self.steps.len();
        self.stage(plain::<T, S, Outs, I>(step, Kind::Pivot, before))
    }
}

impl<T: Input, Before: 'static, Outs: 'static> Builder<T, Compensables, Before, Outs> {
    /// A step that runs side by side with the one before it; it cannot take that one's output.
    pub fn beside<S: Undo<T>, I: 'static>(
        self,
        step: S,
    ) -> Builder<T, Compensables, Before, (S::Output, Outs)>
    where
        Before: Pick<S::Needs, I>,
    {
        let before = self.before;
        self.join(undoable::<T, S, Before, I>(step, before))
    }
}

impl<T: Input, Before: 'static, Outs: 'static> Builder<T, Retriables, Before, Outs> {
    /// A step that runs side by side with the one before it; it cannot take that one's output.
    pub fn beside<S: Action<T>, I: 'static>(
        self,
        step: S,
    ) -> Builder<T, Retriables, Before, (S::Output, Outs)>
    where
        Before: Pick<S::Needs, I>,
    {
        let before = self.before;
        self.join(plain::<T, S, Before, I>(step, Kind::Retriable, before))
    }
}

impl<T: Input, P: Some, Before, Outs> Builder<T, P, Before, Outs> {
    /// The definition.
    ///
    /// # Errors
    /// When two steps have the same name, a name is none, or there are too many.
    pub fn build(self) -> Result<Saga<T>, InvalidDefinition> {
        Saga::new(self.steps)
    }
}

fn needs<N, Outs: Pick<N, I>, I>(before: usize) -> Read<N> {
    Box::new(move |call| Outs::pick(call, before))
}

fn plan<T: Input, S: Action<T>>(step: &S, kind: Kind) -> PlanStep {
    PlanStep::new(step.name(), kind, step.target(), "")
}

fn plain<T: Input, S: Action<T>, Outs: Pick<S::Needs, I>, I>(step: S, kind: Kind, before: usize) -> Step<T> {
    let plan = plan(&step, kind);
    Step { plan, work: Box::new(Plain { step, needs: needs::<_, Outs, I>(before) }) }
}

fn undoable<T: Input, S: Undo<T>, Outs: Pick<S::Needs, I>, I>(step: S, before: usize) -> Step<T> {
    let plan = plan(&step, Kind::Compensable);
    Step { plan, work: Box::new(Undoable(Plain { step, needs: needs::<_, Outs, I>(before) })) }
}
