//! Effects: at least once, finished with their results, never again.

use gastown_core::effects::StartAgent;
use gastown_core::{AgentId, BeadId, Effect, Finish, RigId, Store};

use super::samples::{
    ask, assert_refused, at, consume, effect, effect_keys, event, event_ids, keys, new_town,
    result_of,
};

/// Effects are pending once committed, in the order of commit, until they are finished.
pub async fn effects_are_pending_in_order_of_commit(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let first = vec![effect("z", 1), effect("a", 1)];
    let second = vec![effect("m", 1)];
    let _first = store.commit(&town, ask(1, first.clone())).await.unwrap();
    let _second = store.commit(&town, ask(2, second.clone())).await.unwrap();
    let all = [first, second].concat();
    assert_eq!(store.pending_effects(&town).await.unwrap(), all);
    store
        .finish_effect(&town, &all[1].key, Finish::Done, vec![], at(1))
        .await
        .unwrap();
    assert_eq!(
        effect_keys(store, &town).await,
        [all[0].key.clone(), all[2].key.clone()]
    );
}

/// Reading effects does not take them: whoever starts anew sees them again.
pub async fn effects_stay_until_they_are_finished(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let _asked = store
        .commit(&town, ask(1, vec![effect("n1", 1)]))
        .await
        .unwrap();
    for _ in 0..3 {
        assert_eq!(
            store.pending_effects(&town).await.unwrap(),
            [effect("n1", 1)]
        );
    }
}

/// An effect comes back with all that it had.
pub async fn an_effect_comes_back_whole(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let start = StartAgent {
        agent_id: AgentId::new("a1").unwrap(),
        bead_id: BeadId::new("b1").unwrap(),
        rig_id: RigId::new("r1").unwrap(),
        session: u64::MAX,
        attempt: u32::MAX,
    };
    let asked = vec![Effect::new("a1", u64::MAX, start), effect("n1", 0)];
    let _asked = store.commit(&town, ask(1, asked.clone())).await.unwrap();
    assert_eq!(store.pending_effects(&town).await.unwrap(), asked);
}

/// Finishing appends the results.
pub async fn finishing_appends_the_results(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let asked = effect("n1", 1);
    let _asked = store
        .commit(&town, ask(1, vec![asked.clone()]))
        .await
        .unwrap();
    let results = vec![result_of(&asked, "e1", at(2)), event("e2", at(1))];
    store
        .finish_effect(&town, &asked.key, Finish::Done, results.clone(), at(3))
        .await
        .unwrap();
    let pending = store.pending_events(&town, 10).await.unwrap();
    assert_eq!(pending, [results[1].clone(), results[0].clone()]);
    assert_eq!(effect_keys(store, &town).await, []);
    assert_eq!(
        store.load(&town).await.unwrap().version,
        2,
        "no version is spent"
    );
}

/// A result whose id the town has seen is ignored, and the effect is finished all the same.
pub async fn results_are_idempotent_by_id(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let asked = effect("n1", 1);
    let _asked = store
        .commit(&town, ask(1, vec![asked.clone()]))
        .await
        .unwrap();
    store
        .append_events(&town, vec![result_of(&asked, "e1", at(1))])
        .await
        .unwrap();
    let _consumed = store.commit(&town, consume(2, &["e1"])).await.unwrap();
    let again = vec![result_of(&asked, "e1", at(5))];
    store
        .finish_effect(&town, &asked.key, Finish::Done, again, at(5))
        .await
        .unwrap();
    assert_eq!(event_ids(store, &town).await, [""; 0]);
    assert_eq!(effect_keys(store, &town).await, []);
}

/// The first finish counts: a later one changes nothing and its results are dropped.
pub async fn the_first_finish_counts(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let asked = effect("n1", 1);
    let _asked = store
        .commit(&town, ask(1, vec![asked.clone()]))
        .await
        .unwrap();
    for (finish, id) in [
        (Finish::Done, "e1"),
        (Finish::Done, "e2"),
        (Finish::Withdrawn, "e3"),
    ] {
        let results = vec![result_of(&asked, id, at(1))];
        store
            .finish_effect(&town, &asked.key, finish, results, at(1))
            .await
            .unwrap();
    }
    assert_eq!(event_ids(store, &town).await, ["e1"]);
}

/// A withdrawn effect is finished like any other.
pub async fn a_withdrawn_effect_is_finished(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let asked = effect("n1", 1);
    let _asked = store
        .commit(&town, ask(1, vec![asked.clone()]))
        .await
        .unwrap();
    store
        .finish_effect(&town, &asked.key, Finish::Withdrawn, vec![], at(1))
        .await
        .unwrap();
    assert_eq!(effect_keys(store, &town).await, []);
    let again = store.commit(&town, ask(2, vec![asked])).await.unwrap();
    assert_eq!(again.into_effects(), []);
}

/// Finishing a key that the outbox does not have is refused, and its results with it.
pub async fn an_unknown_key_is_not_finished(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let _asked = store
        .commit(&town, ask(1, vec![effect("n1", 1)]))
        .await
        .unwrap();
    let never = effect("n1", 2);
    let results = vec![result_of(&never, "e1", at(1))];
    let said = store
        .finish_effect(&town, &never.key, Finish::Done, results, at(1))
        .await;
    assert_refused(said, "finish_effect");
    assert_eq!(event_ids(store, &town).await, [""; 0]);
    assert_eq!(effect_keys(store, &town).await, [effect("n1", 1).key]);
}

/// A finished key never becomes pending again, and the commit does not hand it out.
pub async fn a_finished_key_never_becomes_pending_again(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let asked = effect("n1", 1);
    let _asked = store
        .commit(&town, ask(1, vec![asked.clone()]))
        .await
        .unwrap();
    store
        .finish_effect(&town, &asked.key, Finish::Done, vec![], at(1))
        .await
        .unwrap();
    let again = vec![asked.clone(), effect("n1", 2)];
    let committed = store.commit(&town, ask(2, again)).await.unwrap();
    let next = [effect("n1", 2)];
    assert_eq!(committed.into_effects(), next);
    assert_eq!(effect_keys(store, &town).await, keys(&next));
}

/// A key that is pending is left as it was, and only new effects are handed out.
pub async fn a_pending_key_is_left_as_it_was(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let first = effect("n1", 1);
    let mut other = effect("n2", 1);
    other.key = first.key.clone();
    let _asked = store
        .commit(&town, ask(1, vec![first.clone()]))
        .await
        .unwrap();
    let again = store
        .commit(&town, ask(2, vec![other, effect("n2", 1), effect("n2", 1)]))
        .await;
    assert_eq!(again.unwrap().into_effects(), [effect("n2", 1)]);
    assert_eq!(
        store.pending_effects(&town).await.unwrap(),
        [first, effect("n2", 1)]
    );
}

/// Keys differ by each of their parts.
pub async fn keys_differ_by_each_part(store: &dyn Store) {
    let town = new_town(store, "t1").await;
    let mut other_kind = effect("n1", 1);
    other_kind.key.kind = "other".into();
    let asked = vec![
        effect("n1", 1),
        effect("n1", 2),
        effect("n2", 1),
        other_kind,
    ];
    let committed = store.commit(&town, ask(1, asked.clone())).await.unwrap();
    assert_eq!(committed.into_effects(), asked);
    store
        .finish_effect(&town, &asked[0].key, Finish::Done, vec![], at(1))
        .await
        .unwrap();
    assert_eq!(effect_keys(store, &town).await, keys(&asked[1..]));
}
