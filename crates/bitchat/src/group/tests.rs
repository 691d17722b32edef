use super::*;
use crate::identity::Identity;
use zeroize::Zeroizing;

fn person(n: u8) -> Identity {
    Identity::from_bytes(&[n; 32], &[n + 100; 32])
}

fn member(identity: &Identity) -> Member {
    let (fingerprint, signing_public) = (identity.fingerprint(), identity.signing_public());
    Member { fingerprint, signing_public, nickname: "somebody".into() }
}

fn state(epoch: u32, key: u8, members: &[&Identity]) -> GroupState {
    let state = GroupState {
        group_id: [3; 16],
        name: "hikers".into(),
        key: Zeroizing::new([key; 32]),
        epoch,
        roster: members.iter().map(|m| member(m)).collect(),
        creator: members[0].fingerprint(),
        signature: [0; 64],
    };
    state.sign(members[0]).unwrap()
}

#[test]
fn only_the_creator_changes_a_group() {
    let (ann, bob) = (person(1), person(2));
    let two = state(2, 9, &[&ann, &bob]);
    assert_eq!(two.check(ann.fingerprint(), Some(1)), Ok(()));
    assert_eq!(two.check(ann.fingerprint(), Some(2)), Err(GroupError::OldEpoch(2)), "replayed");
    assert_eq!(two.check(bob.fingerprint(), Some(1)), Err(GroupError::NotTheCreator));
    let bent = GroupState { epoch: 3, ..two.clone() };
    assert_eq!(bent.check(ann.fingerprint(), None), Err(GroupError::Signature));
    let mut without = two.clone();
    without.roster.remove(0);
    assert_eq!(without.check(ann.fingerprint(), None), Err(GroupError::NoCreator));
    assert_eq!(GroupState::decode(&two.encode().unwrap()), Ok(two));
}

#[test]
fn a_removed_member_is_neither_heard_nor_told() {
    let (ann, bob, eve) = (person(1), person(2), person(3));
    let before = state(1, 8, &[&ann, &bob, &eve]);
    let after = state(2, 9, &[&ann, &bob]);
    let said = |who: &Identity, state: &GroupState| {
        GroupMessage::seal(who, state, [5; 12], ("g1", "x", "hello"), 7).unwrap()
    };
    let payload = said(&eve, &before);
    let old = GroupEnvelope::decode(&payload).unwrap();
    assert_eq!(old.open(&before).unwrap().content, "hello");
    assert_eq!(old.open(&after), Err(GroupError::OtherEpoch));
    // Whoever leaks the new key to her: her signature is on no roster.
    let payload = said(&eve, &after);
    assert_eq!(GroupEnvelope::decode(&payload).unwrap().open(&after), Err(GroupError::NotAMember));
    // She relabels the old key as the new epoch.
    let relabelled = GroupState { key: before.key.clone(), ..after.clone() };
    let payload = said(&eve, &relabelled);
    assert_eq!(GroupEnvelope::decode(&payload).unwrap().open(&after), Err(GroupError::Sealed));
    let payload = said(&bob, &after);
    assert_eq!(GroupEnvelope::decode(&payload).unwrap().open(&before), Err(GroupError::OtherEpoch));
    assert_eq!(GroupEnvelope::decode(&payload).unwrap().open_with(&before.key), Err(GroupError::Sealed));
}

#[test]
fn a_message_under_anothers_name_is_refused() {
    let (ann, bob) = (person(1), person(2));
    let state = state(1, 8, &[&ann, &bob]);
    let mut forged = GroupMessage {
        id: "g1".into(),
        sender: ann.signing_public(),
        nickname: "ann".into(),
        timestamp: 1,
        content: "pay bob".into(),
        signature: [0; 64],
    };
    forged.signature = bob.sign(&forged.signing_bytes_for_test(&state));
    let payload = forged.seal_for_test(&state);
    assert_eq!(GroupEnvelope::decode(&payload).unwrap().open(&state), Err(GroupError::Signature));
}

#[test]
fn rosters_are_checked() {
    let people: Vec<Identity> = (1..=17).map(person).collect();
    let all: Vec<&Identity> = people.iter().collect();
    assert!(GroupState::decode(&state(1, 1, &all[..16]).encode().unwrap()).is_ok());
    let mut twice = state(1, 1, &all[..2]);
    twice.roster.push(member(all[0]));
    assert!(GroupState::decode(&twice.encode().unwrap()).is_err());
    twice.roster = all.iter().map(|p| member(p)).collect();
    assert!(twice.encode().is_err());
    assert!(!format!("{twice:?}").contains("01, 01"), "the key is not printed");
}
