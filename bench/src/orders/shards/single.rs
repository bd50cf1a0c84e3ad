//! One transaction for each change: the row is locked, its event id looked up, row, event and outbox written, COMMIT. It is how the shop
//! did it before it had committers (`docs/adr/0007-orders-on-the-shards.md`), with the outbox besides.

use anyhow::{Result, ensure};
use aqueduct_shards::{Route, Shards};
use prost::Message as _;

pub(super) async fn create(shards: &Shards, id: u64, user: i64) -> Result<()> {
    let route = Route::of_id(id);
    let body = aqueduct_shop::measure::order(user).encode_to_vec();
    let mut write = shards.write(route.shard(), None).await?;
    let orders = route.name("orders");
    let sql = format!("INSERT INTO {orders} (id, user_id, state, version, body) VALUES (?, ?, 1, 1, ?)");
    write.exec(&sql, (id, user, body)).await?;
    write.exec("INSERT INTO order_outbox (id, version, state) VALUES (?, 1, 1)", (id,)).await?;
    write.commit().await?;
    Ok(())
}

/// `step` 0 pays, 1 ships, 2 completes.
pub(super) async fn step(shards: &Shards, id: u64, step: usize) -> Result<()> {
    let route = Route::of_id(id);
    let (orders, events) = (route.name("orders"), route.name("order_events"));
    let before = step as u64 + 1;
    let after = before + 1;
    let event_id = format!("event-{step}").into_bytes();
    let mut write = shards.write(route.shard(), None).await?;
    let sql = format!("SELECT state, version, body FROM {orders} WHERE id = ? FOR UPDATE");
    let row = write.first::<(u8, u64, Vec<u8>)>(&sql, (id,)).await?;
    ensure!(row.is_some_and(|(state, version, _)| u64::from(state) == before && version == before));
    let sql = format!("SELECT event FROM {events} WHERE id = ? AND event_id = ?");
    ensure!(write.first::<u8>(&sql, (id, &event_id)).await?.is_none());
    let sql = format!("UPDATE {orders} SET state = ?, version = ? WHERE id = ? AND version = ?");
    ensure!(write.exec(&sql, (after, after, id, before)).await? == 1);
    let sql = format!("INSERT INTO {events} (id, version, state, event, event_id) VALUES (?, ?, ?, ?, ?)");
    write.exec(&sql, (id, after, after, before, &event_id)).await?;
    write.exec("INSERT INTO order_outbox (id, version, state) VALUES (?, ?, ?)", (id, after, after)).await?;
    write.commit().await?;
    Ok(())
}
