//! What screens are made of.

mod badge;
mod button;
mod card;
mod choice;
mod copy;
mod dialog;
mod empty;
mod field;
mod icon;
mod loaded;
mod logo;
mod meter;
mod notice;
mod page;
mod sparkline;
mod time;
mod toast;

pub(crate) use badge::{Avatar, Badge, TestNetwork};
pub(crate) use button::{Button, IconButton, IconLink, Look};
pub(crate) use card::{Card, Fact};
pub(crate) use choice::Choice;
pub(crate) use copy::CopyButton;
pub(crate) use dialog::Dialog;
pub(crate) use empty::Empty;
pub(crate) use field::{Switch, TextArea, TextField};
pub(crate) use icon::{Glyph, Icon};
pub(crate) use loaded::Loaded;
pub(crate) use logo::Logo;
pub(crate) use meter::Meter;
pub(crate) use notice::Notice;
pub(crate) use page::Page;
pub(crate) use sparkline::{Bars, Sparkline};
pub(crate) use time::{Ago, Clock};
pub(crate) use toast::Toasts;
