//! What gRPC's tools expect beside a service's own handlers: health and reflection.
//!
//! Both are found by their full names alone: Go Micro's callers name no package, and a service of the
//! user's that is called `Health` too must be what they find.

mod descriptors;
mod generated;
mod health;
mod reflection;

pub(crate) use health::health_service;
pub use health::{Health, ServingStatus};
pub(crate) use reflection::reflection_services;
