//! host
pub mod disk;
pub mod kernel;
pub mod telemetry;
