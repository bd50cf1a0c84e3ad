//! What both protocols ask of the coordinator, once there is one.

use std::sync::OnceLock;

use aqueduct_saga::{Coordinator, Filter, OperateError, SagaId, Store, Submit, Summary, View};
use aqueduct_telemetry::health::Health;

use crate::operator::Decision;
use crate::refuse::Refusal;

/// The most bytes of an actor's name.
const MOST_ACTOR: usize = 128;

/// What the connections share.
#[derive(Debug)]
pub(crate) struct App<S: Store> {
    /// Empty while the store is being opened.
    coordinator: OnceLock<Coordinator<S>>,
    pub(crate) health: Health,
}

impl<S: Store> App<S> {
    pub(crate) fn new(health: Health) -> Self {
        Self { coordinator: OnceLock::new(), health }
    }

    /// From here on requests are answered. Later calls do nothing.
    pub(crate) fn open(&self, coordinator: Coordinator<S>) {
        // Whoever was first stays.
        self.coordinator.get_or_init(|| coordinator);
    }

    fn coordinator(&self) -> Result<&Coordinator<S>, Refusal> {
        self.coordinator.get().ok_or_else(Refusal::recovering)
    }

    /// Whether it was new.
    pub(crate) async fn submit(&self, submit: Submit) -> Result<bool, Refusal> {
        Ok(self.coordinator()?.submit(submit).await?.created)
    }

    pub(crate) async fn get(&self, id: &str) -> Result<View, Refusal> {
        let coordinator = self.coordinator()?;
        // What cannot be an id is nobody's.
        let Ok(id) = SagaId::new(id) else { return Err(OperateError::NotFound.into()) };
        coordinator.get(&id).await?.ok_or_else(|| OperateError::NotFound.into())
    }

    pub(crate) async fn list(&self, filter: Filter) -> Result<Vec<Summary>, Refusal> {
        Ok(self.coordinator()?.list(filter).await?)
    }

    /// The saga afterwards.
    pub(crate) async fn decide(&self, id: &str, decision: Decision, actor: &str) -> Result<View, Refusal> {
        let coordinator = self.coordinator()?;
        let visible = |char: char| !char.is_control();
        if actor.trim().is_empty() || actor.len() > MOST_ACTOR || !actor.chars().all(visible) {
            let why = format!(
                "who decides is wanted for the log, in x-saga-actor: 1 to {MOST_ACTOR} visible characters"
            );
            return Err(Refusal::Invalid(why));
        }
        let Ok(key) = SagaId::new(id) else { return Err(OperateError::NotFound.into()) };
        match decision {
            Decision::Retry => coordinator.retry(&key, actor).await?,
            Decision::Skip => coordinator.skip(&key, actor).await?,
            Decision::Abandon => coordinator.abandon(&key, actor).await?,
        }
        self.get(id).await
    }
}
