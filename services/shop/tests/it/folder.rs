//! The data folder: who may open it.

use std::fs;

use aqueduct_shop::OpenError;

use crate::kit;

#[tokio::test]
async fn a_second_shop_on_one_folder_is_refused_until_the_first_has_closed() {
    let shop = kit::start();
    let error = kit::open(&shop.folder).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("is in use by process") && !message.contains('\n'), "{message}");
    let folder = shop.stop().await;
    kit::start_in(folder).stop().await;
}

#[tokio::test]
async fn another_format_is_refused() {
    let folder = kit::start().stop().await;
    fs::write(folder.path().join("data/FORMAT"), "aqueduct-shop 99\n").unwrap();
    let error = kit::open(&folder).unwrap_err();
    assert!(matches!(error, OpenError::Format { .. }), "{error}");
    assert!(error.to_string().contains("aqueduct-shop 99"), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data"), "not a folder").unwrap();
    let error = kit::open(&folder).unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("data"), "{error}");
}
