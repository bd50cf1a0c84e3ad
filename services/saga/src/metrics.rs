//! What a coordinator's figures are called at a scrape.

use std::time::Duration;

use aqueduct_saga::{Coordinator, Store};
use aqueduct_telemetry::metrics::Registry;

/// Shows the coordinator's figures, which are a second old at most.
pub fn collect<S: Store>(registry: &Registry, coordinator: Coordinator<S>) {
    registry.collect(move |page| {
        let now = coordinator.snapshot();
        page.gauges(
            "saga_open",
            "Sagas that have not ended, by where they stand",
            [
                ([("status", "running")], now.running),
                ([("status", "compensating")], now.compensating),
                ([("status", "parked")], now.parked),
            ],
        );
        let oldest = now.oldest.unwrap_or(Duration::ZERO).as_secs_f64();
        page.gauge(
            "saga_oldest_seconds",
            "Age of the oldest saga that has not ended, 0 if there is none",
            oldest,
        );
        page.gauge("saga_in_flight", "Sagas that this process works on, waiting ones aside", now.in_flight);
        page.counter("saga_submitted", "Sagas taken", now.submitted);
        page.counter("saga_sends", "Calls to participants that were begun", now.sends);
        page.counter("saga_retries", "Calls among these that were not the first of their kind", now.retries);
        page.counters(
            "saga_ended",
            "Sagas that this process brought to their end",
            [([("status", "completed")], now.completed), ([("status", "compensated")], now.compensated)],
        );
        page.counter("saga_parkings", "Times that a saga was parked", now.parkings);
        page.counter("saga_lost", "Times that another coordinator had taken a saga over", now.lost);
    });
}
