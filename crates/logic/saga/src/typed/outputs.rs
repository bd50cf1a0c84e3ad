//! The outputs of the steps so far, as a type: `(last, (the one before, (…, ())))`. A step that needs one of them is found its
//! place when it is compiled.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::executor::Call;

/// What a step may need: tuples of outputs.
pub trait Needs: Send + 'static {}

/// The output is that of the last step.
#[derive(Debug)]
pub struct Here;

/// The output is further back.
#[derive(Debug)]
pub struct There<I>(PhantomData<I>);

/// An output of this type is among these.
pub trait Find<O, I> {
    /// So many steps before the last.
    const BACK: usize;
}

impl<O, Rest> Find<O, Here> for (O, Rest) {
    const BACK: usize = 0;
}

impl<O, Last, Rest: Find<O, I>, I> Find<O, There<I>> for (Last, Rest) {
    const BACK: usize = 1 + Rest::BACK;
}

/// All outputs that a step needs are among these.
pub trait Pick<N, I> {
    /// Reads them. `before` is the number of steps that these outputs are of.
    fn pick(call: &Call, before: usize) -> Result<N, String>;
}

fn read<O: DeserializeOwned>(call: &Call, before: usize, back: usize) -> Result<O, String> {
    let number = before.saturating_sub(1 + back);
    let output = call.outputs.iter().find(|(of, _)| *of == number).map(|(_, output)| output);
    let output = output.ok_or_else(|| format!("there is no output of step {number}"))?;
    serde_json::from_slice(output)
        .map_err(|error| format!("the output of step {number} cannot be read: {error}"))
}

macro_rules! tuples {
    ($($(($output:ident, $index:ident))*;)*) => { $(
        impl<$($output: Send + 'static),*> Needs for ($($output,)*) {}

        impl<Outs, $($output, $index),*> Pick<($($output,)*), ($($index,)*)> for Outs
        where
            $($output: DeserializeOwned, Outs: Find<$output, $index>,)*
        {
            fn pick(call: &Call, before: usize) -> Result<($($output,)*), String> {
                let _ = (call, before);
                Ok(($(read::<$output>(call, before, <Outs as Find<$output, $index>>::BACK)?,)*))
            }
        }
    )* };
}

tuples! {
    ;
    (A, IA);
    (A, IA) (B, IB);
    (A, IA) (B, IB) (C, IC);
    (A, IA) (B, IB) (C, IC) (D, ID);
}
