use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

struct Side {
    road: Arc<Direct>,
    arrivals: mpsc::Receiver<Arrival>,
    listening: Listening,
}

async fn side(n: u8) -> Side {
    let (inbound, arrivals) = mpsc::channel(64);
    let road = Direct::new(StaticSecret::from([n; 32]), inbound);
    let listening = road.listen(([127, 0, 0, 1], 0).into()).await.expect("listens");
    Side { road, arrivals, listening }
}

fn know(who: &Side, whom: &Side, addresses: &[SocketAddr]) {
    who.road.set_peers(&HashMap::from([(whom.road.key(), addresses.to_vec())]));
}

async fn until(mut done: impl FnMut() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("in time");
}

async fn arrival(side: &mut Side) -> Vec<u8> {
    tokio::time::timeout(PATIENCE, side.arrivals.recv()).await.expect("in time").expect("one").sealed
}

#[tokio::test]
async fn one_connection_carries_both_ways_though_both_dial() {
    let (mut a, mut b) = (side(1).await, side(2).await);
    let (at, bt) = (a.listening.address, b.listening.address);
    know(&a, &b, &[bt]);
    know(&b, &a, &[at]);
    for n in 0..20_u8 {
        until(|| a.road.send(&b.road.key(), &[n, 1]).is_ok()).await;
        until(|| b.road.send(&a.road.key(), &[n, 2]).is_ok()).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // What went out over the connection that gave way may be lost; then all comes over the other.
    until(|| a.road.send(&b.road.key(), &[99]).is_ok() && b.road.send(&a.road.key(), &[99]).is_ok()).await;
    while arrival(&mut b).await != [99] {}
    while arrival(&mut a).await != [99] {}
    assert!(a.road.is_up(&b.road.key()) && b.road.is_up(&a.road.key()));
}

#[tokio::test]
async fn strangers_are_hung_up_on_and_those_no_longer_wanted_too() {
    let (mut a, b, eve) = (side(1).await, side(2).await, side(3).await);
    know(&a, &b, &[]);
    know(&b, &a, &[a.listening.address]);
    know(&eve, &a, &[a.listening.address]);
    until(|| b.road.send(&a.road.key(), &[1]).is_ok()).await;
    assert_eq!(arrival(&mut a).await, [1], "the one side without an address is dialled by none, and dials");
    // Eve is told nothing; her connection ends.
    until(|| !eve.road.is_up(&a.road.key())).await;
    assert!(a.road.send(&eve.road.key(), &[1]).is_err() && !a.road.is_up(&eve.road.key()));

    a.road.set_peers(&HashMap::new());
    until(|| !b.road.is_up(&a.road.key())).await;
    assert!(a.road.send(&b.road.key(), &[2]).is_err());
    assert!(a.arrivals.try_recv().is_err(), "nothing of Eve's, either");
}

#[tokio::test]
async fn a_connection_that_broke_is_dialled_anew() {
    let (a, mut b) = (side(1).await, side(2).await);
    let at = b.listening.address;
    know(&a, &b, &[at]);
    know(&b, &a, &[]);
    until(|| a.road.send(&b.road.key(), &[1]).is_ok()).await;
    assert_eq!(arrival(&mut b).await, [1]);
    b.road.set_peers(&HashMap::new());
    until(|| !a.road.is_up(&b.road.key())).await;
    know(&b, &a, &[]);
    until(|| a.road.send(&b.road.key(), &[2]).is_ok()).await;
    // The first try may still have met the side that did not want it.
    tokio::time::timeout(PATIENCE, async {
        loop {
            let again = a.road.send(&b.road.key(), &[2]);
            if again.is_ok() && b.arrivals.try_recv().is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("dialled again");
}

#[tokio::test]
async fn a_full_queue_says_so() {
    let (inbound, _full) = mpsc::channel(1);
    let slow = Direct::new(StaticSecret::from([2; 32]), inbound);
    let listening = slow.listen(([127, 0, 0, 1], 0).into()).await.expect("listens");
    let a = side(1).await;
    slow.set_peers(&HashMap::from([(a.road.key(), Vec::new())]));
    a.road.set_peers(&HashMap::from([(slow.key(), vec![listening.address])]));
    until(|| a.road.room(&slow.key()).is_ok()).await;
    // The receiver reads nothing: once the sockets are full, so is the queue.
    let mut sent = 0_u32;
    while a.road.send(&slow.key(), &[0; 2000]).is_ok()
        || sent < 100_000 && {
            tokio::time::sleep(Duration::from_millis(1)).await;
            a.road.room(&slow.key()).is_ok()
        }
    {
        sent += 1;
        if sent.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(a.road.send(&slow.key(), &[0; 2000]), Err(TransportError::Busy(FULL)));
    assert_eq!(a.road.room(&slow.key()), Err(TransportError::Busy(FULL)));
}
