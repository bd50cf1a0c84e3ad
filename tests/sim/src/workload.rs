//! Who reads and writes: few rows and many of them.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::history::{Answer, Key, Table, What, Write};
use crate::random::Random;
use crate::store::Wish;
use crate::world::{World, spawn};

/// Tokens that readers choose from.
const TOKENS: usize = 8;

/// Starts everybody.
pub(crate) fn start(world: &Arc<World>) {
    for number in 0..world.plan.writers {
        let random = Random::new(world.seed, &format!("writer {number}"));
        spawn(write(Arc::clone(world), random));
    }
    for number in 0..world.plan.readers {
        let random = Random::new(world.seed, &format!("reader {number}"));
        spawn(read(Arc::clone(world), random));
    }
}

fn key(world: &World, random: &Random) -> Key {
    // The first rows are hot.
    let id = random.range(0..world.plan.keys).min(random.range(0..world.plan.keys));
    let table = if random.percent(75) { Table::Orders } else { Table::Items };
    Key { table, id }
}

async fn write(world: Arc<World>, random: Random) {
    for number in 1.. {
        sleep(random.millis(1..world.plan.write_pause)).await;
        if number % world.plan.burst == 0 {
            sleep(random.millis(1000..2000)).await;
        }
        if !world.busy.load(Relaxed) {
            return;
        }
        let key = key(&world, &random);
        let mut distributed = false;
        let wish = match random.range(0..100) {
            0..50 => Wish::Put(key),
            50..70 => Wish::Delete(key),
            70..82 => Wish::Rename(key, Key { id: random.range(0..world.plan.keys), ..key }),
            82..88 => Wish::PutAll(key.table),
            88..91 => Wish::Empty(key.table),
            _ => {
                distributed = true;
                Wish::Put(key)
            }
        };
        let Ok(Some(done)) = world.store(key.table).commit(&wish, distributed).await else { continue };
        for write in &done.writes {
            let Write::Row { key, version, tombstone } = *write else { continue };
            let floor = version + u64::from(tombstone);
            if random.percent(70) {
                // The writer's own instance.
                let instance = usize::try_from(random.range(0..world.plan.instances as u64)).unwrap_or(0);
                world.instance(instance).fence(key, floor);
                world.instance(instance).read(key, Some(done.at)).await;
            }
            let mut tokens = world.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.push((key, floor, done.clone()));
            let many = tokens.len().saturating_sub(TOKENS);
            tokens.drain(..many);
        }
    }
}

async fn read(world: Arc<World>, random: Random) {
    while world.busy.load(Relaxed) {
        sleep(random.millis(0..world.plan.read_pause)).await;
        let number = usize::try_from(random.range(0..world.plan.instances as u64)).unwrap_or(0);
        let instance = world.instance(number);
        let token = {
            let tokens = world.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            (random.percent(20) && !tokens.is_empty()).then(|| random.pick(&tokens).clone())
        };
        match token {
            None => drop(instance.read(key(&world, &random), None).await),
            Some((key, floor, done)) if random.percent(70) => {
                instance.fence(key, floor);
                instance.read(key, Some(done.at)).await;
            }
            // Past all caches.
            Some((key, _, done)) => {
                let began = world.history.now();
                let answer = match world.store(key.table).read_after(key, done.gtid).await {
                    Ok(row) => Answer::Marked(row, Duration::from_hours(1)),
                    Err(down) => Answer::Refused(down.to_string()),
                };
                world.history.add(What::Read { instance: number, key, began, token: Some(done.at), answer });
            }
        }
    }
}
