//! A saga's state, folded from its log. Pure: no clock, no store, no I/O.

use bytes::Bytes;

use crate::log::{Event, Spot};
use crate::plan::{Kind, Op, Plan};
use crate::view::{Millis, Phase, Status};

/// How far one operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct OpState {
    /// The last attempt whose intent was logged.
    pub(crate) attempt: u32,
    /// Attempts that failed since the start, or since somebody said to try again.
    pub(crate) failures: u32,
    /// It may have arrived at the participant.
    pub(crate) sent: bool,
    pub(crate) phase: Phase,
}

/// How far one step is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct StepState {
    pub(crate) execute: OpState,
    pub(crate) compensate: OpState,
    pub(crate) output: Option<Bytes>,
    /// Why the last attempt that failed did.
    pub(crate) failure: String,
}

/// How far a saga is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) plan: Plan,
    pub(crate) context: Vec<(String, String)>,
    pub(crate) deadline_at: Option<Millis>,
    pub(crate) status: Status,
    pub(crate) reason: String,
    pub(crate) turned: bool,
    /// Why it turned, if it has.
    why: String,
    /// The call at which a parked saga is stuck.
    pub(crate) stuck: Option<Spot>,
    pub(crate) steps: Vec<StepState>,
}

/// Events that cannot follow one another: the log is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log makes no sense")]
pub(crate) struct Nonsense;

impl State {
    /// The state after the first event, which must be a creation.
    pub(crate) fn created(event: Event) -> Result<Self, Nonsense> {
        let Event::Created { plan, context, deadline_at } = event else { return Err(Nonsense) };
        plan.validate().map_err(|_| Nonsense)?;
        Ok(Self {
            steps: vec![StepState::default(); plan.steps.len()],
            plan,
            context,
            deadline_at,
            status: Status::Running,
            reason: String::new(),
            turned: false,
            why: String::new(),
            stuck: None,
        })
    }

    /// The state after all the events of a log.
    pub(crate) fn fold(events: impl IntoIterator<Item = Event>) -> Result<Self, Nonsense> {
        let mut events = events.into_iter();
        let mut state = Self::created(events.next().ok_or(Nonsense)?)?;
        for event in events {
            state.apply(&event)?;
        }
        Ok(state)
    }

    pub(crate) fn op(&self, spot: Spot) -> Option<&OpState> {
        let step = self.steps.get(spot.step)?;
        Some(match spot.op {
            Op::Execute => &step.execute,
            Op::Compensate => &step.compensate,
        })
    }

    fn op_mut(&mut self, spot: Spot) -> Result<&mut OpState, Nonsense> {
        let step = self.steps.get_mut(spot.step).ok_or(Nonsense)?;
        Ok(match spot.op {
            Op::Execute => &mut step.execute,
            Op::Compensate => &mut step.compensate,
        })
    }

    /// Moves on by one event.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<(), Nonsense> {
        if self.status.is_terminal() {
            return Err(Nonsense);
        }
        let parked = self.status == Status::Parked;
        let decided =
            matches!(event, Event::Retried { .. } | Event::Skipped { .. } | Event::Abandoned { .. });
        if parked && !decided {
            return Err(Nonsense);
        }
        match event {
            Event::Created { .. } => return Err(Nonsense),
            Event::Sent { spot, attempt } => {
                let op = self.op_mut(*spot)?;
                *op = OpState { attempt: *attempt, sent: true, phase: Phase::Sent, ..*op };
            }
            Event::Done { spot, output } => {
                self.op_mut(*spot)?.phase = Phase::Done;
                if let (Op::Execute, Some(step)) = (spot.op, self.steps.get_mut(spot.step)) {
                    step.output = Some(output.clone());
                }
            }
            Event::Rejected { spot, reason } => {
                let op = *self.op_mut(*spot)?;
                self.fail(*spot, OpState { phase: Phase::Rejected, ..op }, reason)?;
            }
            // It tells all, since what was before it may have been dropped.
            Event::Unknown { spot, attempt, failures, reason, retry_at } => {
                let (attempt, failures, phase) = (*attempt, *failures, Phase::Waiting(*retry_at));
                self.fail(*spot, OpState { attempt, failures, sent: true, phase }, reason)?;
            }
            Event::Withdrawn { spot } => {
                let op = self.op_mut(*spot)?;
                *op = OpState { sent: false, phase: Phase::Idle, ..*op };
            }
            Event::Turned { reason } => {
                self.turned = true;
                self.why.clone_from(reason);
                self.go_on();
            }
            Event::Completed => self.status = Status::Completed,
            Event::Compensated => self.status = Status::Compensated,
            Event::Parked { spot, reason } => self.park(*spot, reason),
            Event::Retried { .. } => self.retry()?,
            Event::Skipped { .. } => self.skip()?,
            Event::Abandoned { actor } if parked => {
                self.status = Status::Abandoned;
                self.reason = format!("abandoned by {actor}: {}", self.reason);
            }
            Event::Abandoned { .. } => return Err(Nonsense),
        }
        Ok(())
    }

    fn fail(&mut self, spot: Spot, op: OpState, reason: &str) -> Result<(), Nonsense> {
        *self.op_mut(spot)? = op;
        if let Some(step) = self.steps.get_mut(spot.step) {
            reason.clone_into(&mut step.failure);
        }
        Ok(())
    }

    fn go_on(&mut self) {
        self.status = if self.turned { Status::Compensating } else { Status::Running };
        self.reason.clone_from(&self.why);
        self.stuck = None;
    }

    fn park(&mut self, spot: Option<Spot>, reason: &str) {
        self.status = Status::Parked;
        reason.clone_into(&mut self.reason);
        self.stuck = spot;
    }

    /// The stuck call is made again at once, and may fail as often as at first.
    fn retry(&mut self) -> Result<(), Nonsense> {
        if self.status != Status::Parked {
            return Err(Nonsense);
        }
        if let Some(spot) = self.stuck {
            let op = self.op_mut(spot)?;
            *op = OpState { failures: 0, phase: Phase::Waiting(0), ..*op };
        }
        self.go_on();
        Ok(())
    }

    fn skip(&mut self) -> Result<(), Nonsense> {
        let (Status::Parked, Some(spot)) = (self.status, self.stuck) else { return Err(Nonsense) };
        self.op_mut(spot)?.phase = Phase::Done;
        self.go_on();
        Ok(())
    }

    /// After a takeover nobody waits for the calls that were under way: they are to be made again.
    pub(crate) fn orphan(&mut self) {
        for step in &mut self.steps {
            for op in [&mut step.execute, &mut step.compensate] {
                if op.phase == Phase::Sent {
                    op.phase = Phase::Waiting(0);
                }
            }
        }
    }

    /// Whether something that cannot be undone may have arrived at its participant: the pivot, or a retriable step of a
    /// saga without one. From then on the way leads forward.
    pub(crate) fn is_past_pivot(&self) -> bool {
        let steps = self.plan.steps.iter().zip(&self.steps);
        steps.into_iter().any(|(step, state)| step.kind != Kind::Compensable && state.execute.sent)
    }
}
