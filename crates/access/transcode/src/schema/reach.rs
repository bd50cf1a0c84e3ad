//! What a message can hold, however deep: whether it leads to a required field or to a message set.

use std::collections::VecDeque;

use super::tables::Message;

/// Fills in `reaches_message_set` and `reaches_required`. What an `Any` holds is not known before it is there.
pub(super) fn mark(messages: &mut [Message]) {
    let holders = holders(messages);
    let message_sets = nearest(messages, &holders, |message| message.is_message_set);
    let required = nearest(messages, &holders, |message| message.fields.iter().any(|field| field.required));
    for (message, (message_set, required)) in messages.iter_mut().zip(message_sets.into_iter().zip(required))
    {
        message.reaches_message_set = message_set;
        message.reaches_required = required.is_some();
    }
}

/// For each message, those that have a field of its type.
fn holders(messages: &[Message]) -> Vec<Vec<u32>> {
    let mut holders = vec![Vec::new(); messages.len()];
    for (message, at) in messages.iter().zip(0u32..) {
        for field in message.fields.iter().filter(|field| field.is_message()) {
            holders[field.type_index as usize].push(at);
        }
    }
    holders
}

/// For each message, the nearest that is wanted among itself and those it can hold: a breadth-first search from all
/// that are wanted at once, against the direction of the fields.
fn nearest(
    messages: &[Message],
    holders: &[Vec<u32>],
    wanted: impl Fn(&Message) -> bool,
) -> Vec<Option<u32>> {
    let mut found: Vec<Option<u32>> =
        messages.iter().zip(0u32..).map(|(message, at)| wanted(message).then_some(at)).collect();
    let mut open: VecDeque<u32> = found.iter().flatten().copied().collect();
    while let Some(at) = open.pop_front() {
        for &holder in &holders[at as usize] {
            if found[holder as usize].is_none() {
                found[holder as usize] = found[at as usize];
                open.push_back(holder);
            }
        }
    }
    found
}
