use super::*;
use crate::directory::{Authority, Descriptor, EpochKey, RelayIdentity, Timing};
use x25519_dalek::{PublicKey, StaticSecret};

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn network() -> Network {
    let authority = |n: u8| Authority {
        key: key(n).verifying_key().to_bytes(),
        link: [n; 32],
        address: ([127, 0, 0, 1], 9000).into(),
    };
    let timing = Timing { epoch: 100, overlap: 10, voting: 50 };
    Network::new(false, vec![authority(1), authority(2), authority(3)], timing, 0)
}

fn books() -> [Book; 3] {
    [1, 2, 3].map(|n| Book::new(key(n), network(), HashMap::new()))
}

fn descriptor(n: u8, published: u64) -> (Key, SignedDescriptor) {
    let sphinx_key = PublicKey::from(&StaticSecret::from([n; 32])).to_bytes();
    let descriptor = Descriptor {
        id: [n; 32],
        identity: Some(RelayIdentity { key: key(n).verifying_key().to_bytes(), vrf_key: [n; 32] }),
        address: ([127, 0, 0, 1], 9000).into(),
        layer: n % 3 + 1,
        operator: String::new(),
        published,
        keys: vec![EpochKey { epoch: published as u32 / 100, sphinx_key, ticket: None }],
    };
    ([n; 32], descriptor.sign(&key(n)))
}

/// Everything that the drivers of three authorities do in one period.
fn period(books: &mut [Book; 3], at: u64) -> [bool; 3] {
    let votes: Vec<_> = books.iter_mut().filter_map(|b| vote(b, at)).collect();
    for book in books.iter_mut() {
        votes.iter().cloned().for_each(|v| book.take_vote(v));
        book.tally(at);
    }
    let signed: Vec<_> = books.iter().filter_map(|b| b.rounds.get(&at)?.signed().cloned()).collect();
    books.each_mut().map(|book| {
        signed.iter().for_each(|s| book.take_signed(at, s));
        book.conclude(at)
    })
}

fn publish(book: &mut Book, n: u8, at: u64) -> Answer {
    let (link, descriptor) = descriptor(n, at);
    let answer = book.answer(&link, Request::Publish(descriptor), at);
    if let Some(address) = book.to_try(&link) {
        book.answered(&link, address);
    }
    answer
}

fn vote(book: &mut Book, period: u64) -> Option<SignedVote> {
    let vote = book.make_vote(period)?;
    book.cast(vote.clone());
    Some(vote)
}

#[test]
fn three_agree_on_what_they_were_told() {
    let mut books = books();
    for book in &mut books {
        for n in 1..=3 {
            assert_eq!(publish(book, n, 950), Answer::Taken);
        }
    }
    // Only one heard of the fourth.
    publish(&mut books[0], 4, 950);
    assert_eq!(period(&mut books, 1000), [true; 3]);
    let documents = books.each_ref().map(|b| b.consensus().expect("there is one"));
    assert!(documents.iter().all(|d| d.verify(1010).is_ok_and(|c| c.relays.len() == 3)));
    assert!(documents.iter().all(|d| d.digest() == documents[0].digest() && d.signers().len() == 3));
    assert!(books[0].is_current(1010) && !books[0].is_current(1150));
    let request = |newer_than| Request::Consensus { newer_than };
    assert_eq!(books[1].answer(&[9; 32], request(999), 1010), Answer::Document(documents[1].to_bytes()));
    assert_eq!(books[1].answer(&[9; 32], request(1000), 1010), Answer::Nothing);
}

#[test]
fn a_relay_that_lies_about_itself_is_refused() {
    let [mut book, ..] = books();
    let (_, signed) = descriptor(1, 950);
    let refused = |answer: Answer| matches!(answer, Answer::Refused(_));
    assert!(refused(book.answer(&[2; 32], Request::Publish(signed.clone()), 950)), "another's link");
    assert!(refused(book.answer(&[1; 32], Request::Publish(signed.clone()), 5000)), "too old");
    assert!(refused(book.answer(&[1; 32], Request::Publish(signed.clone()), 500)), "from the future");
    let changes: [fn(&mut Descriptor); 4] = [
        |d| d.keys[0].sphinx_key = [0; 32], // a key of low order
        |d| d.keys[0].epoch = 50,
        |d| d.layer = 9,
        |d| d.operator = "x".repeat(65),
    ];
    for change in changes {
        let mut bad = signed.unverified().clone();
        change(&mut bad);
        assert!(refused(book.answer(&[1; 32], Request::Publish(bad.sign(&key(1))), 950)));
    }
    assert_eq!(book.answer(&[1; 32], Request::Publish(signed.clone()), 950), Answer::Taken);
    // Its identity stays what it was.
    let mut other = signed.unverified().clone();
    other.published += 1;
    other.identity = Some(RelayIdentity { key: key(7).verifying_key().to_bytes(), vrf_key: [1; 32] });
    assert!(refused(book.answer(&[1; 32], Request::Publish(other.sign(&key(7))), 951)));
}

#[test]
fn one_that_votes_twice_is_caught_and_does_not_count() {
    let mut books = books();
    for book in &mut books {
        (1..=3).for_each(|n| _ = publish(book, n, 950));
    }
    let [a, b, c] = &mut books;
    let one = vote(c, 1000).expect("votes");
    // The third's other self knows a fourth relay.
    let mut twin = Book::new(key(3), network(), HashMap::new());
    (1..=4).for_each(|n| _ = publish(&mut twin, n, 950));
    let two = vote(&mut twin, 1000).expect("votes");
    let votes = [vote(a, 1000).expect("votes"), vote(b, 1000).expect("votes")];
    for book in [&mut *a, &mut *b] {
        votes.iter().cloned().for_each(|v| book.take_vote(v));
        book.take_vote(one.clone());
        book.take_vote(two.clone());
        assert_eq!(book.accused(), [key(3).verifying_key().to_bytes()]);
        assert!(book.tally(1000));
    }
    let signed = [a, b].map(|book| book.rounds[&1000].signed().expect("signed").clone());
    assert_eq!(signed[0].digest(), signed[1].digest());
}

#[test]
fn who_signs_two_documents_is_caught() {
    let mut books = books();
    for book in &mut books {
        (1..=3).for_each(|n| _ = publish(book, n, 950));
    }
    period(&mut books, 1000);
    let mut other = books[0].consensus().expect("there is one").unverified().clone();
    other.relays.pop();
    books[0].take_signed(1000, &other.clone().sign([&key(2)]));
    assert_eq!(books[0].accused(), [key(2).verifying_key().to_bytes()]);
    books[1].adopt(other.sign([&key(3), &key(1)]));
    assert_eq!(books[1].accused().len(), 2);
}

#[test]
fn no_authority_votes_twice_not_even_after_a_crash() {
    let [mut book, ..] = books();
    publish(&mut book, 1, 950);
    assert!(vote(&mut book, 1000).is_some());
    publish(&mut book, 2, 960);
    assert!(vote(&mut book, 1000).is_none(), "what it learned later changes nothing");
    let state = book.state();
    let [mut again, ..] = books();
    again.restore(&state).expect("restores");
    assert_eq!(again.relays(), 2);
    assert!(vote(&mut again, 1000).is_none());
    // A clock that was far ahead for a while does not silence it.
    assert!(vote(&mut again, 9_000_000).is_some() && vote(&mut again, 1050).is_some());
    assert!(again.restore(&[255; 9]).is_err());
}

#[test]
fn two_of_three_are_enough_and_one_is_not() {
    let mut books = books();
    for book in &mut books {
        (1..=3).for_each(|n| _ = publish(book, n, 950));
    }
    let [a, b, _] = &mut books;
    let votes = [vote(a, 1000).expect("votes"), vote(b, 1000).expect("votes")];
    assert!(!a.tally(1000), "one vote");
    for book in [&mut *a, &mut *b] {
        votes.iter().cloned().for_each(|v| book.take_vote(v));
        assert!(book.tally(1000));
        assert!(!book.conclude(1000), "one signature");
    }
    let signed = b.rounds[&1000].signed().expect("signed").clone();
    assert_eq!(a.missing_signatures(1000).len(), 2);
    a.take_signed(1000, &signed);
    assert!(a.conclude(1000));
}

#[test]
fn a_relay_that_was_not_found_where_it_says_is_not_voted_for() {
    let [mut book, ..] = books();
    publish(&mut book, 1, 950);
    let (link, silent) = descriptor(2, 950);
    assert_eq!(book.answer(&link, Request::Publish(silent), 950), Answer::Taken);
    let made = book.make_vote(1000).expect("votes");
    assert_eq!(made.unverified().relays.len(), 1);
    // One that moves has to be found anew.
    let address = book.to_try(&link).expect("to be tried");
    book.answered(&link, address);
    assert_eq!(
        (book.to_try(&link), book.make_vote(1050).expect("votes").unverified().relays.len()),
        (None, 2)
    );
    let mut moved = descriptor(2, 951).1.unverified().clone();
    moved.address.set_port(1);
    assert_eq!(book.answer(&link, Request::Publish(moved.sign(&key(2))), 951), Answer::Taken);
    assert!(book.to_try(&link).is_some());
}

#[test]
fn one_network_cannot_fill_the_directory() {
    let [mut book, ..] = books();
    let mut publish_from = |n: u8, ip: [u8; 4]| {
        let mut changed = descriptor(n, 950).1.unverified().clone();
        changed.address = (ip, 9000).into();
        book.answer(&[n; 32], Request::Publish(changed.sign(&key(n))), 950)
    };
    for n in 0..MAX_OF_ONE_NETWORK as u8 {
        assert_eq!(publish_from(n, [198, 51, n, 1]), Answer::Taken);
    }
    assert!(matches!(publish_from(200, [198, 51, 200, 1]), Answer::Refused(_)));
    assert_eq!(publish_from(201, [203, 0, 113, 1]), Answer::Taken);
}

#[test]
fn a_stranger_period_takes_no_room() {
    let [mut a, mut b, _] = books();
    for period in [1000, 1050, 1100, 1150] {
        let vote = vote(&mut b, period).expect("votes");
        a.take_vote(vote);
    }
    assert!(a.rounds.is_empty());
    assert_eq!(b.rounds.len(), ROUNDS);
}
