//! A mixnode on this device: begin, watch, end.

use crate::components::{Badge, Button, Card, Choice, Fact, Glyph, Look, TextField};
use crate::format;
use crate::store::store;
use crate::words::{self, MixnodeField};
use fog_api::{ApiError, MixnodeSettings, MixnodeState, MixnodeView};
use leptos::prelude::*;

/// What is in the form. It outlives the form, so that nothing typed is lost by switching on and off.
#[derive(Clone, Copy)]
struct Fields {
    listen: RwSignal<String>,
    public: RwSignal<String>,
    layer: RwSignal<u8>,
    operator: RwSignal<String>,
}

impl Fields {
    fn new() -> Self {
        Self {
            listen: RwSignal::new("0.0.0.0:9000".into()),
            public: RwSignal::new(String::new()),
            layer: RwSignal::new(2),
            operator: RwSignal::new(String::new()),
        }
    }

    fn take(self, settings: MixnodeSettings) {
        self.listen.set(settings.listen);
        self.public.set(settings.public_address.unwrap_or_default());
        self.layer.set(settings.layer);
        self.operator.set(settings.operator);
    }

    fn read(self) -> MixnodeSettings {
        let public = self.public.get_untracked();
        MixnodeSettings {
            listen: self.listen.get_untracked(),
            public_address: (!public.trim().is_empty()).then_some(public),
            layer: self.layer.get_untracked(),
            operator: self.operator.get_untracked().trim().to_owned(),
        }
    }
}

/// The card.
#[component]
pub(super) fn Mixnode() -> impl IntoView {
    let store = store();
    let (network, settings) = (store.network, store.settings);
    let wanted = Memo::new(move |_| settings.part(|s| s.mixnode.clone(), None));
    let fields = Fields::new();
    Effect::new(move |_| {
        if let Some(settings) = wanted.get() {
            fields.take(settings);
        }
    });
    // The node looks at its settings once a second; until then the page shows what they will lead to.
    let state = Memo::new(move |_| {
        let now = network.part(|n| n.mixnode.state, MixnodeState::Off);
        match (now, wanted.with(Option::is_some)) {
            (MixnodeState::Off, true) => MixnodeState::Starting,
            (MixnodeState::OwnNetwork, _) => now,
            (_, false) => MixnodeState::Off,
            (_, true) => now,
        }
    });
    let on = Memo::new(move |_| wanted.with(Option::is_some));
    let known = Memo::new(move |_| settings.part(|_| true, false));
    let own = Memo::new(move |_| state.get() == MixnodeState::OwnNetwork);
    let reason = move || match (state.get(), network.part(|n| n.mixnode.reason.clone(), String::new())) {
        (MixnodeState::OwnNetwork, _) => {
            "This device's own test network runs its relays here, and for nobody else. \
            Once this node is in a network of others, it can mix for them."
                .into()
        }
        (MixnodeState::Off, _) => {
            "A mixnet is made of the devices that mix for it. A mixnode needs an address that others \
            reach, and to be on most of the time. It never sees what people write."
                .into()
        }
        (MixnodeState::Starting, reason) if reason.is_empty() => "It is about to start.".to_owned(),
        (_, reason) => reason,
    };
    view! {
        <Card title="A mixnode on this device" testid="mixnode">
            <div class="headline">
                <Badge
                    text=Signal::derive(move || words::mixnode(state.get()).0.to_owned())
                    tone=Signal::derive(move || words::mixnode(state.get()).1)
                    testid="mixnode-state"
                />
            </div>
            <p class="lead" data-testid="mixnode-reason">{reason}</p>
            {move || {
                if on.get() {
                    view! { <Running wanted /> }.into_any()
                } else if known.get() && !own.get() {
                    view! { <Form fields /> }.into_any()
                } else {
                    ().into_any()
                }
            }}
        </Card>
    }
    .into_any()
}

/// How it does, and the way to end it.
#[component]
fn Running(wanted: Memo<Option<MixnodeSettings>>) -> impl IntoView {
    let store = store();
    let network = store.network;
    let view_of = move |f: fn(&MixnodeView) -> String| {
        Signal::derive(move || network.part(|n| f(&n.mixnode), String::new()))
    };
    let share = |share: Option<f64>| share.map_or_else(|| "not measured yet".to_owned(), format::percent);
    let address = Signal::derive(move || {
        let here = network.part(|n| n.mixnode.address.clone(), None);
        here.or_else(|| wanted.with(|w| w.as_ref().map(|w| w.listen.clone()))).unwrap_or_default()
    });
    let public = Signal::derive(move || {
        let public = wanted.with(|w| w.as_ref().and_then(|w| w.public_address.clone()));
        public.map(|p| format!("for others {}", p.trim()))
    });
    let layer =
        Signal::derive(move || wanted.with(|w| w.as_ref().map_or("", |w| words::layer(w.layer)).to_owned()));
    let unpaid = Signal::derive(move || {
        let none = network.part(|n| n.mixnode.earned.0 == 0, true);
        none.then(|| "Paid at the end of each key period in which the directory finds it running.".to_owned())
    });
    let stop = move |()| {
        store.change_settings(|s| s.mixnode = None, move |error| store.complain(&error));
    };
    view! {
        <dl class="facts">
            <Fact label="Listens at" value=address hint=public testid="mixnode-address" />
            <Fact label="Layer" value=layer />
            <Fact label="Packets mixed" value=view_of(|m| format::count(m.mixed)) testid="mixnode-mixed" />
            <Fact label="Performance" value=Signal::derive(move || network.part(|n| share(n.mixnode.performance), String::new())) />
            <Fact label="Reputation" value=Signal::derive(move || network.part(|n| share(n.mixnode.reputation), String::new())) />
            <Fact label="Earned" value=view_of(|m| format::fog(m.earned)) hint=unpaid testid="mixnode-earned" />
        </dl>
        <div>
            <Button label="Stop the mixnode" look=Look::Danger glyph=Glyph::Block on_press=stop testid="mixnode-stop" />
        </div>
    }
    .into_any()
}

/// What it needs to know. The node checks it all.
#[component]
fn Form(fields: Fields) -> impl IntoView {
    let store = store();
    let busy = RwSignal::new(false);
    let refusal = RwSignal::new(None::<(MixnodeField, String)>);
    let beside = move |field| {
        Signal::derive(move || refusal.with(|r| r.as_ref().filter(|r| r.0 == field).map(|r| r.1.clone())))
    };
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if busy.get_untracked() {
            return;
        }
        let wanted = fields.read();
        let public = wanted.public_address.clone().unwrap_or_default();
        busy.set(true);
        let refused = move |error: ApiError| {
            busy.set(false);
            refusal.set(Some((words::mixnode_field(&error.message, &public), error.message)));
        };
        store.change_settings(|s| s.mixnode = Some(wanted), refused);
    };
    let layer = move |layer: u8| {
        view! {
            <Choice
                group="mixnode-layer"
                title=words::layer(layer)
                hint=words::duty(layer).to_owned()
                chosen=Signal::derive(move || fields.layer.get() == layer)
                choose=move |()| fields.layer.set(layer)
                testid=format!("mixnode-layer-{layer}")
            />
        }
    };
    view! {
        <form class="form" on:submit=submit data-testid="mixnode-form">
            <div class="fields two">
                <TextField
                    label="Listen at"
                    value=fields.listen
                    hint="Address and port on this device. 0.0.0.0 is every address."
                    refusal=beside(MixnodeField::Listen)
                    testid="mixnode-listen"
                />
                <TextField
                    label="Address for others"
                    value=fields.public
                    hint="How they reach this device, if that is another address: behind a router, say."
                    placeholder="198.51.100.7:9000"
                    refusal=beside(MixnodeField::Public)
                    testid="mixnode-public"
                />
            </div>
            <fieldset class="choices three">
                <legend>"Layer"</legend>
                {(1..=3).map(layer).collect_view()}
            </fieldset>
            <TextField
                label="Who runs it (optional)"
                value=fields.operator
                hint="For all to see. No path has two relays of one operator."
                max_length=64
                refusal=beside(MixnodeField::Operator)
                testid="mixnode-operator"
            />
            <div>
                <Button label="Run a mixnode" look=Look::Primary busy testid="mixnode-start" />
            </div>
        </form>
    }
    .into_any()
}
