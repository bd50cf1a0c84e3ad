//! What a message can hold, however deep: whether it leads to a required field.

use super::tables::Message;

/// Fills in `reaches_required`: a search from all messages that have such a field, against the direction of the fields.
/// What an `Any` holds is not known before it is there.
pub(super) fn mark(messages: &mut [Message]) {
    let holders = holders(messages);
    let has = |message: &Message| message.fields.iter().any(|field| field.required);
    let mut open: Vec<u32> =
        messages.iter().zip(0..).filter(|(message, _)| has(message)).map(|(_, at)| at).collect();
    while let Some(at) = open.pop() {
        let message = &mut messages[at as usize];
        if !std::mem::replace(&mut message.reaches_required, true) {
            open.extend(&holders[at as usize]);
        }
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
