//! One module a command.

pub(crate) mod authority;
pub(crate) mod bench;
pub(crate) mod bitchat;
pub(crate) mod chat;
pub(crate) mod dao;
pub(crate) mod harvest;
pub(crate) mod job;
pub(crate) mod mixnet;
pub(crate) mod mixnode;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod service;
pub(crate) mod sim;
pub(crate) mod socks;
pub(crate) mod status;
pub(crate) mod user;
pub(crate) mod wallet;

use crate::args::Global;
use crate::client::Client;
use crate::config;
use anyhow::Result;
use fog_api::{ApiError, Contact, ErrorKind, ListContacts};

/// The running node of the data folder.
pub(crate) fn client(global: &Global) -> Result<Client> {
    Client::find(&config::data_dir(global)?)
}

/// The contact with this name, or whose id begins with this.
pub(crate) fn contact(client: &Client, wanted: &str) -> Result<Contact> {
    let contacts = client.call(ListContacts {})?;
    let is = |c: &&Contact| {
        c.name.to_lowercase() == wanted.to_lowercase() || (wanted.len() >= 4 && c.id.starts_with(wanted))
    };
    let mut found = contacts.iter().filter(is);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(_), Some(_)) => {
            Err(ApiError::new(ErrorKind::BadInput, format!("several contacts match {wanted:?}: use the id"))
                .into())
        }
        (None, _) => {
            let names: Vec<&str> = contacts.iter().map(|c| c.name.as_str()).collect();
            let known = if names.is_empty() {
                "you have none yet".into()
            } else {
                format!("you have {}", names.join(", "))
            };
            Err(ApiError::new(ErrorKind::NotFound, format!("no contact is called {wanted:?}; {known}"))
                .into())
        }
    }
}

/// The one of `ids` that begins with `wanted`.
pub(crate) fn complete_id(ids: impl Iterator<Item = String>, wanted: &str, what: &str) -> Result<String> {
    let mut found = ids.filter(|id| id.starts_with(wanted));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => {
            Err(ApiError::new(ErrorKind::BadInput, format!("several {what}s begin with {wanted:?}")).into())
        }
        (None, _) => Err(ApiError::new(ErrorKind::NotFound, format!("there is no {what} {wanted:?}")).into()),
    }
}
