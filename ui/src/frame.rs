//! Reading one event off the stream.
//!
//! `fog_api`'s own reader of [`Event`] is made for any format and any order of fields, so it takes each value in
//! twice. The page knows that it reads JSON: it looks at the name first and reads the data once, straight into its
//! type. That is a sixth of the whole module saved; a test holds the two readers together.

use fog_api::{Event, EventBody};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Frame<'a> {
    seq: u64,
    #[serde(borrow)]
    event: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Reads an event. None for what this page does not know; whoever gets none reads everything anew.
pub fn read(json: &str) -> Option<Event> {
    let frame: Frame = serde_json::from_str(json).ok()?;
    let data = frame.data.map_or("null", RawValue::get);
    fn part<'a, T: Deserialize<'a>>(data: &'a str) -> Option<T> {
        serde_json::from_str(data).ok()
    }
    let body = match &*frame.event {
        "state" => EventBody::State(part(data)?),
        "contact" => EventBody::Contact(part(data)?),
        "message" => EventBody::Message(part(data)?),
        "network" => EventBody::Network(part(data)?),
        "harvest" => EventBody::Harvest(part(data)?),
        "job" => EventBody::Job(part(data)?),
        "job_log" => EventBody::JobLog(part(data)?),
        "worker" => EventBody::Worker(part(data)?),
        "wallet" => EventBody::Wallet(part(data)?),
        "proposal" => EventBody::Proposal(part(data)?),
        "notice" => EventBody::Notice(part(data)?),
        "resync" => EventBody::Resync,
        _ => return None,
    };
    Some(Event { seq: frame.seq, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fog_api::*;

    /// One of each kind; the match makes the compiler ask for a line here when the contract gets a new kind.
    fn all() -> Vec<EventBody> {
        let contact = Contact {
            id: "ab".into(),
            name: "Ada \"quoted\" \u{1f30d}".into(),
            fingerprint: "f".into(),
            state: ContactState::Asking,
            online: true,
            last_seen: Some(1.5),
            unread: 2,
            last_text: None,
            last_time: None,
            network: "n".into(),
            test_network: true,
            privacy: PrivacyLevel::Confidential,
            privacy_asked: PrivacyLevel::Secret,
        };
        let message = Message {
            id: "m".into(),
            peer: "ab".into(),
            outgoing: true,
            text: "hi".into(),
            time: 1.0,
            status: MessageStatus::Sent,
            delivered: None,
            read: None,
            reason: Some("because".into()),
        };
        let state = AppState { phase: Phase::FirstRun, me: None, version: "1".into(), data_dir: "/".into() };
        let network = NetworkView {
            health: NetworkHealth::Online,
            reason: String::new(),
            networks: Vec::new(),
            packets_sent: 1,
            packets_received: 2,
            packets_resent: 3,
            acks_sent_by_block: 6,
            acks_received_by_block: 7,
            packets_mixed: 4,
            replays_refused: 5,
            mean_delay: 0.05,
            privacy: PrivacyView {
                state: PrivacyState::Covered,
                promise: "this".into(),
                limits: "not that".into(),
            },
            cover: CoverView {
                profile: CoverProfile::Standard,
                automatic: true,
                forced: true,
                choices: vec![CoverChoice {
                    profile: CoverProfile::Off,
                    up_a_day: 0,
                    down_a_day: 0,
                    promise: "none".into(),
                }],
                loops: 1,
                drops: 2,
                loops_back: 3,
                loops_lost: 4,
            },
            history: vec![TrafficPoint { time: 5.0, real: 1, cover: 2, received: 3 }],
            direct: Default::default(),
            mixnode: MixnodeView {
                state: MixnodeState::Listed,
                reason: "mixes".into(),
                address: Some("198.51.100.7:9000".into()),
                layer: Some(2),
                mixed: 9,
                performance: Some(0.98),
                reputation: None,
                earned: Amount(7_500_000_000_000_000_000),
            },
        };
        let harvest = HarvestView {
            state: HarvestState::Idle,
            reason: String::new(),
            allowed: true,
            cpu_share: 0.5,
            override_on: false,
            paused_until: None,
            mode: None,
            sensors: Sensors::default(),
            prefs: HarvestPrefs::default(),
            load_history: vec![0.1, 0.2],
            today: HarvestDay::default(),
            days: Vec::new(),
            power: PowerEstimate::default(),
        };
        let job = JobView {
            id: "j".into(),
            name: "job".into(),
            mine: true,
            state: JobState::Running,
            input_bytes: 1,
            moved_bytes: 2,
            total_bytes: 3,
            created: 1.0,
            fuel: Some(u64::MAX),
            escrow: Amount(u128::MAX),
            ..JobView::default()
        };
        let wallet = WalletView {
            balance: Amount::fog(1),
            escrow: Amount(0),
            earned: Amount(7),
            spent: Amount(0),
            earned_by_day: vec![Amount(1)],
            entries: Vec::new(),
        };
        let tally = Tally {
            yes: Amount(1),
            no: Amount(2),
            abstain: Amount(3),
            total: Amount(9),
            quorum_percent: 10,
            approval_percent: 60,
        };
        let proposal = ProposalView {
            id: "p".into(),
            kind: ProposalKind::General,
            title: "t".into(),
            body: String::new(),
            proposer: "ab".into(),
            proposer_name: "Ada".into(),
            state: ProposalState::Active,
            created: 1.0,
            ends: 2.0,
            tally,
            my_vote: None,
            my_power: Amount(1),
            votes: Vec::new(),
        };
        let part = JobLogPart { id: "j".into(), offset: 5, next: 7, text: "a\n".into() };
        let worker = WorkerView {
            peer: None,
            name: "this".into(),
            online: true,
            offer: None,
            offered: Some(1.5),
            reputation: ReputationView {
                score: 0.5,
                samples: 0,
                tier: "none".into(),
                valid_in_row: 0,
                trusted: false,
            },
        };
        let notice = fog_api::Notice { level: NoticeLevel::Warning, text: "look".into() };
        let first = EventBody::State(state);
        match &first {
            EventBody::State(_)
            | EventBody::Contact(_)
            | EventBody::Message(_)
            | EventBody::Network(_)
            | EventBody::Harvest(_)
            | EventBody::Job(_)
            | EventBody::JobLog(_)
            | EventBody::Worker(_)
            | EventBody::Wallet(_)
            | EventBody::Proposal(_)
            | EventBody::Notice(_)
            | EventBody::Resync => {}
        }
        vec![
            first,
            EventBody::Contact(contact),
            EventBody::Message(message),
            EventBody::Network(network),
            EventBody::Harvest(Box::new(harvest)),
            EventBody::Job(Box::new(job)),
            EventBody::JobLog(part),
            EventBody::Worker(worker),
            EventBody::Wallet(wallet),
            EventBody::Proposal(proposal),
            EventBody::Notice(notice),
            EventBody::Resync,
        ]
    }

    #[test]
    fn reads_what_the_contract_writes() {
        for (seq, body) in (7..).zip(all()) {
            let event = Event { seq, body };
            let json = serde_json::to_string(&event).expect("serialises");
            let back = read(&json).expect("is read");
            assert_eq!(format!("{back:?}"), format!("{event:?}"));
        }
    }

    #[test]
    fn the_order_of_fields_does_not_matter() {
        let json = r#"{"data":{"level":"info","text":"a \"b\""},"seq":3,"event":"notice"}"#;
        assert!(
            matches!(read(json), Some(Event { seq: 3, body: EventBody::Notice(n) }) if n.text == "a \"b\"")
        );
    }

    #[test]
    fn what_it_does_not_know_is_none() {
        for json in
            ["", "{}", r#"{"seq":1,"event":"new_kind","data":1}"#, r#"{"seq":1,"event":"message","data":{}}"#]
        {
            assert!(read(json).is_none(), "{json}");
        }
    }
}
