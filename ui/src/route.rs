//! Addresses inside the page: what stands after `#`, and the screen that it names.
//!
//! A fragment needs no help from the server and works the same in the window; seven screens need no router crate.

/// A screen, with what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Route {
    /// The first page.
    #[default]
    Overview,
    /// Conversations; one of them open where a contact's id is given.
    Chat(Option<String>),
    /// The mixnet; with the path of a message where its id is given.
    Circuits(Option<String>),
    /// The harvester and the jobs.
    Compute,
    /// The form for a new job.
    NewJob,
    /// One job.
    Job(String),
    /// The account.
    Earnings,
    /// Proposals.
    Governance,
    /// One proposal.
    Proposal(String),
    /// Settings.
    Settings,
}

impl Route {
    /// Reads a fragment, with or without its `#`. What it does not know becomes the overview, so that an old link
    /// still opens the page.
    pub fn parse(fragment: &str) -> Self {
        let path = fragment.trim_start_matches('#').trim_matches('/');
        let mut parts = path.split('/');
        let first = parts.next().unwrap_or_default();
        let id = parts.next().filter(|id| !id.is_empty()).map(str::to_owned);
        match (first, id) {
            ("chat", id) => Self::Chat(id),
            ("circuits", id) => Self::Circuits(id),
            ("compute", None) => Self::Compute,
            ("compute", Some(id)) if id == "new" => Self::NewJob,
            ("compute", Some(id)) => Self::Job(id),
            ("earnings", _) => Self::Earnings,
            ("governance", None) => Self::Governance,
            ("governance", Some(id)) => Self::Proposal(id),
            ("settings", _) => Self::Settings,
            _ => Self::Overview,
        }
    }

    /// The address, with its `#`.
    pub fn href(&self) -> String {
        match self {
            Self::Overview => "#/".into(),
            Self::Chat(None) => "#/chat".into(),
            Self::Chat(Some(peer)) => format!("#/chat/{peer}"),
            Self::Circuits(None) => "#/circuits".into(),
            Self::Circuits(Some(message)) => format!("#/circuits/{message}"),
            Self::Compute => "#/compute".into(),
            Self::NewJob => "#/compute/new".into(),
            Self::Job(id) => format!("#/compute/{id}"),
            Self::Earnings => "#/earnings".into(),
            Self::Governance => "#/governance".into(),
            Self::Proposal(id) => format!("#/governance/{id}"),
            Self::Settings => "#/settings".into(),
        }
    }

    /// The place of the navigation under which the screen lies.
    pub fn place(&self) -> Place {
        match self {
            Self::Overview => Place::Overview,
            Self::Chat(_) => Place::Chat,
            Self::Circuits(_) => Place::Circuits,
            Self::Compute | Self::NewJob | Self::Job(_) => Place::Compute,
            Self::Earnings => Place::Earnings,
            Self::Governance | Self::Proposal(_) => Place::Governance,
            Self::Settings => Place::Settings,
        }
    }
}

/// The places of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Place {
    Overview,
    Chat,
    Circuits,
    Compute,
    Earnings,
    Governance,
    Settings,
}

impl Place {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Overview,
        Self::Chat,
        Self::Circuits,
        Self::Compute,
        Self::Earnings,
        Self::Governance,
        Self::Settings,
    ];

    /// What it is called on the page.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Chat => "Chat",
            Self::Circuits => "Circuits",
            Self::Compute => "Compute",
            Self::Earnings => "Earnings",
            Self::Governance => "Governance",
            Self::Settings => "Settings",
        }
    }

    /// The key that, after `g`, leads there.
    pub fn key(self) -> char {
        match self {
            Self::Overview => 'o',
            Self::Chat => 'c',
            Self::Circuits => 'i',
            Self::Compute => 'm',
            Self::Earnings => 'e',
            Self::Governance => 'v',
            Self::Settings => 's',
        }
    }

    /// The screen that opens when the place is chosen.
    pub fn route(self) -> Route {
        match self {
            Self::Overview => Route::Overview,
            Self::Chat => Route::Chat(None),
            Self::Circuits => Route::Circuits(None),
            Self::Compute => Route::Compute,
            Self::Earnings => Route::Earnings,
            Self::Governance => Route::Governance,
            Self::Settings => Route::Settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_survives_the_way_through_its_address() {
        let routes = [
            Route::Overview,
            Route::Chat(None),
            Route::Chat(Some("ab12".into())),
            Route::Circuits(None),
            Route::Circuits(Some("77".into())),
            Route::Compute,
            Route::NewJob,
            Route::Job("09af".into()),
            Route::Earnings,
            Route::Governance,
            Route::Proposal("5e".into()),
            Route::Settings,
        ];
        for route in routes {
            assert_eq!(Route::parse(&route.href()), route);
        }
    }

    #[test]
    fn what_is_unknown_opens_the_overview() {
        for fragment in ["", "#", "#/", "#/nowhere", "#token=abc", "nonsense/x"] {
            assert_eq!(Route::parse(fragment), Route::Overview, "{fragment}");
        }
        assert_eq!(Route::parse("#/chat/"), Route::Chat(None));
    }

    #[test]
    fn places_have_keys_of_their_own() {
        for a in Place::ALL {
            assert_eq!(a.route().place(), a);
            assert_eq!(Place::ALL.iter().filter(|b| b.key() == a.key()).count(), 1);
        }
    }
}
