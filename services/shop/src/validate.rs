//! What a request must hold, before anything is done with it. All faults are collected, so that a client mends its
//! request in one step; fields are named as in JSON (`items[1].priceCents`).

use aqueduct_saga::SagaId;
use tonic_types::FieldViolation;

use crate::proto::shop::{
    CreateAccountRequest, CreateOrderRequest, CreateTransferRequest, Item, ListOrdersRequest,
};
use crate::refuse::Refusal;

/// The most items of an order.
pub(crate) const MAX_ITEMS: usize = 200;
/// The longest stock-keeping unit, in bytes.
pub(crate) const MAX_SKU: usize = 64;
/// The longest note, in bytes.
pub(crate) const MAX_NOTE: usize = 2_000;
/// The page size where the request names none.
pub(crate) const DEFAULT_PAGE: usize = 50;
/// The largest page; a larger wish is served with this one (AIP-158).
pub(crate) const MAX_PAGE: usize = 500;

/// The faults found so far.
#[derive(Debug, Default)]
struct Faults(Vec<FieldViolation>);

impl Faults {
    fn check(&mut self, holds: bool, field: impl FnOnce() -> String, rule: &str) {
        if !holds {
            self.0.push(FieldViolation::new(field(), rule));
        }
    }

    fn finish(self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal::Invalid(self.0)) }
    }
}

/// Checks a new order and answers its total in cents.
pub(crate) fn create(request: &CreateOrderRequest) -> Result<i64, Refusal> {
    let mut faults = Faults::default();
    faults.check(request.user_id >= 1, || "userId".into(), "must be 1 or more");
    faults.check(!request.items.is_empty(), || "items".into(), "must hold at least one item");
    let few = request.items.len() <= MAX_ITEMS;
    faults.check(few, || "items".into(), "must hold at most 200 items");
    if few {
        for (at, item) in request.items.iter().enumerate() {
            check_item(&mut faults, at, item);
        }
    }
    faults.check(request.note.len() <= MAX_NOTE, || "note".into(), "must be at most 2,000 bytes");
    let total = total(&request.items);
    faults.check(total.is_some(), || "items".into(), "must not cost more than an int64 of cents holds");
    faults.finish()?;
    Ok(total.unwrap_or_default())
}

fn check_item(faults: &mut Faults, at: usize, item: &Item) {
    let sku = (1..=MAX_SKU).contains(&item.sku.len());
    faults.check(sku, || format!("items[{at}].sku"), "must be 1 to 64 bytes");
    faults.check(item.quantity >= 1, || format!("items[{at}].quantity"), "must be 1 or more");
    faults.check(item.price_cents >= 0, || format!("items[{at}].priceCents"), "must not be negative");
}

/// The sum of `quantity * price_cents`; `None` where it leaves an int64.
fn total(items: &[Item]) -> Option<i64> {
    items
        .iter()
        .try_fold(0_i64, |sum, item| sum.checked_add(item.price_cents.checked_mul(i64::from(item.quantity))?))
}

/// Checks a list request and answers the number of orders of a page.
pub(crate) fn list(request: &ListOrdersRequest) -> Result<usize, Refusal> {
    let mut faults = Faults::default();
    faults.check(request.user_id >= 1, || "userId".into(), "must be 1 or more");
    faults.check(request.page_size >= 0, || "pageSize".into(), "must not be negative");
    faults.finish()?;
    Ok(match usize::try_from(request.page_size) {
        Ok(0) | Err(_) => DEFAULT_PAGE,
        Ok(size) => size.min(MAX_PAGE),
    })
}

/// Checks a new account.
pub(crate) fn account(request: &CreateAccountRequest) -> Result<(), Refusal> {
    let mut faults = Faults::default();
    faults.check(request.id >= 0, || "id".into(), "must be 1 or more, or left out");
    faults.check(request.balance_cents >= 0, || "balanceCents".into(), "must not be negative");
    faults.finish()
}

/// Checks a new transfer.
pub(crate) fn transfer(request: &CreateTransferRequest) -> Result<(), Refusal> {
    let CreateTransferRequest { transfer_id, from, to, amount_cents } = request;
    let mut faults = Faults::default();
    let id = transfer_id.is_empty() || SagaId::new(transfer_id.as_str()).is_ok();
    faults.check(id, || "transferId".into(), "must be 1 to 128 visible ASCII characters, or left out");
    faults.check(*from >= 1, || "from".into(), "must be the id of an account, 1 or more");
    faults.check(*to >= 1, || "to".into(), "must be the id of an account, 1 or more");
    faults.check(from != to, || "to".into(), "must be another account than the one that pays");
    faults.check(*amount_cents >= 1, || "amountCents".into(), "must be 1 or more");
    faults.finish()
}

/// The refusal of one field.
pub(crate) fn invalid(field: &str, rule: &str) -> Refusal {
    Refusal::Invalid(vec![FieldViolation::new(field, rule)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(sku: &str, quantity: i32, price_cents: i64) -> Item {
        Item { sku: sku.into(), quantity, price_cents }
    }

    fn order(items: Vec<Item>) -> CreateOrderRequest {
        CreateOrderRequest { user_id: 1, items, note: String::new() }
    }

    fn fields(result: Result<i64, Refusal>) -> Vec<String> {
        match result {
            Err(Refusal::Invalid(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_good_order_has_its_total() {
        assert_eq!(create(&order(vec![item("a", 2, 150), item("b", 1, 0)])).unwrap(), 300);
    }

    #[test]
    fn all_faults_are_reported_together() {
        let request = CreateOrderRequest {
            user_id: 0,
            items: vec![item("", 1, 1), item("b", 0, -1), item(&"x".repeat(65), 1, 1)],
            note: "n".repeat(2_001),
        };
        let expect =
            ["userId", "items[0].sku", "items[1].quantity", "items[1].priceCents", "items[2].sku", "note"];
        assert_eq!(fields(create(&request)), expect);
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let mut request = order(vec![item(&"x".repeat(64), i32::MAX, 1); 200]);
        request.note = "n".repeat(2_000);
        assert_eq!(create(&request).unwrap(), 200 * i64::from(i32::MAX));
    }

    #[test]
    fn too_many_items_are_one_fault_and_not_many() {
        assert_eq!(fields(create(&order(vec![item("", 0, -1); 201]))), ["items"]);
        assert_eq!(fields(create(&order(vec![]))), ["items"]);
    }

    #[test]
    fn a_total_cannot_overflow() {
        assert_eq!(fields(create(&order(vec![item("a", 2, i64::MAX)]))), ["items"]);
        assert_eq!(fields(create(&order(vec![item("a", 1, i64::MAX), item("b", 1, 1)]))), ["items"]);
        assert_eq!(create(&order(vec![item("a", 1, i64::MAX), item("b", 1, 0)])).unwrap(), i64::MAX);
    }

    #[test]
    fn what_is_wrong_with_a_transfer() {
        let check = |transfer_id: &str, (from, to, amount_cents), expect: &[&str]| {
            let request = CreateTransferRequest { transfer_id: transfer_id.into(), from, to, amount_cents };
            match (transfer(&request), expect) {
                (Ok(()), []) => {}
                (Err(Refusal::Invalid(faults)), expect) => {
                    let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
                    assert_eq!(fields, expect, "{request:?}");
                }
                (other, _) => panic!("{request:?}: {other:?}"),
            }
        };
        check("", (1, 2, 1), &[]);
        check("t-1:x/y", (i64::MAX, 2, i64::MAX), &[]);
        check(&"x".repeat(128), (1, 2, 1), &[]);
        check(&"x".repeat(129), (1, 2, 1), &["transferId"]);
        check("a b", (1, 2, 1), &["transferId"]);
        check("ü", (1, 2, 1), &["transferId"]);
        check("t", (1, 1, 1), &["to"]);
        check("t", (1, 2, 0), &["amountCents"]);
        check("t", (1, 2, i64::MIN), &["amountCents"]);
        check("t\n", (0, -1, -5), &["transferId", "from", "to", "amountCents"]);
    }

    #[test]
    fn page_sizes_default_and_are_cut() {
        let size = |page_size| list(&ListOrdersRequest { user_id: 1, page_size, page_token: String::new() });
        assert_eq!(size(0).unwrap(), 50);
        assert_eq!(size(7).unwrap(), 7);
        assert_eq!(size(500).unwrap(), 500);
        assert_eq!(size(i32::MAX).unwrap(), 500);
        assert!(matches!(size(-1), Err(Refusal::Invalid(faults)) if faults[0].field == "pageSize"));
    }
}
