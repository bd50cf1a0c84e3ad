//! Two layers read the same bits of an ID without knowing each other: here they must agree.

use aqueduct_ids::Id;
use aqueduct_shards::Route;

#[test]
fn where_an_id_says_it_lives_is_where_the_shards_look() {
    for place in 0..64_u64 {
        for rest in [0, 0x7fff, 1 << 21, (1 << 62) + 12345] {
            let id = place << 15 | rest;
            let minted = Id::new(id).expect("it has no sign").route();
            let read = Route::of_id(id);
            assert_eq!((minted.shard(), minted.table()), (read.shard(), read.table()), "{id:#x}");
        }
    }
    let all: Vec<_> =
        aqueduct_ids::Route::all().map(|route| Route::new(route.shard(), route.table())).collect();
    assert!(all.len() == 64 && all.iter().all(Option::is_some));
}
