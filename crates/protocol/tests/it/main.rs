//! The protocols, by the captured requests of real clients and by tables.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod advanced_filter;
mod any_input;
mod capture;
mod captures;
mod filter;
mod publish;
mod reply;
mod resource;
mod token;
