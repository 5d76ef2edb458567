//! What is over its limit stays told until it is done.

use super::super::passed::limits_passed;
use super::*;

#[tokio::test]
async fn a_limit_that_ran_out_is_told_until_the_work_is_done() {
    let bench = bench().await;
    let store = &bench.one.store;
    open(store, ID, 4, "live").await;
    open(store, "INC-422011-20261125-2", 4, "replay").await;
    assert_eq!(limits_passed(store).await.unwrap(), 0);
    bench.one.look(after(1)).await.unwrap();
    assert_eq!(limits_passed(store).await.unwrap(), 0, "nothing is due yet");
    // Long after the last rung: nothing waits any more, and it is over all the same.
    let late = after(30 * 86_400);
    while bench.one.look(late).await.unwrap() > 0 {}
    let passed = limits_passed(store).await.unwrap();
    assert!(passed >= 2, "taking it and what follows are overdue: {passed}");
    let done = json!({ "acknowledged_at": late, "first_response_at": late });
    work(store, ID, "containing", done, late).await;
    bench.one.look(late).await.unwrap();
    let rest = limits_passed(store).await.unwrap();
    assert!(rest < passed, "{rest} of {passed}");
    work(store, ID, "closed", json!({ "acknowledged_at": late, "closed_at": late }), late).await;
    bench.one.look(late).await.unwrap();
    assert_eq!(limits_passed(store).await.unwrap(), 0);
}
