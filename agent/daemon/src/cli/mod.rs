//! The commands of the console.

mod check_config;
mod doctor;
mod manual;
mod platform;
