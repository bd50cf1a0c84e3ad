// What the examples of definitions that do not compile have in common.
use aqueduct_saga::Call;
use aqueduct_saga::typed::{Action, Failure, Input, Saga, Undo};
#[derive(serde::Serialize, serde::Deserialize)]
struct Transfer;
impl Input for Transfer {
    const NAME: &'static str = "transfer";
}
#[derive(serde::Serialize, serde::Deserialize)]
struct Receipt;
struct Debit;
impl Action<Transfer> for Debit {
    type Needs = ();
    type Output = Receipt;
    fn name(&self) -> &str {
        "debit"
    }
    async fn execute(&self, _: &Call, _: &Transfer, (): ()) -> Result<Receipt, Failure> {
        Ok(Receipt)
    }
}
impl Undo<Transfer> for Debit {
    async fn undo(&self, _: &Call, _: &Transfer, (): (), _: Option<Receipt>) -> Result<(), Failure> {
        Ok(())
    }
}
struct Credit;
impl Action<Transfer> for Credit {
    type Needs = (Receipt,);
    type Output = ();
    fn name(&self) -> &str {
        "credit"
    }
    async fn execute(&self, _: &Call, _: &Transfer, _: (Receipt,)) -> Result<(), Failure> {
        Ok(())
    }
}
