//! What the board reports about itself: memory, load, temperature, uptime.
//!
//! Invariant: nothing is read but when asked, and nothing is kept in between: an idle agent pays nothing for it.

use serde::{Deserialize, Serialize};
use sysinfo::{Components, MemoryRefreshKind, System};

/// One look at the board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Its memory.
    pub mem: Memory,
    /// Mean number of processes that run or wait, over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Degrees Celsius of the hottest sensor; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temp: Option<f64>,
    /// Seconds since the boot.
    pub uptime: u64,
}

/// The board's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that can be had without swapping.
    pub available: u64,
}

/// Looks now. Reads a handful of files; the sensors are looked up anew, for they come and go with modules.
#[must_use]
pub fn look() -> Telemetry {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let load = System::load_average();
    let sensors = Components::new_with_refreshed_list();
    Telemetry {
        mem: Memory { total: system.total_memory(), available: system.available_memory() },
        load: [load.one, load.five, load.fifteen].map(hundredths),
        temp: hottest(sensors.iter().filter_map(sysinfo::Component::temperature)),
        uptime: System::uptime(),
    }
}

/// A sensor that is not wired reads as absolute zero, as 255 or as nothing at all.
fn hottest(readings: impl Iterator<Item = f32>) -> Option<f64> {
    let credible = readings.filter(|celsius| (-60.0..=200.0).contains(celsius));
    credible.map(|celsius| hundredths(f64::from(celsius))).max_by(f64::total_cmp)
}

/// More digits would only make two looks differ.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_gives_plausible_values_in_a_stable_form() {
        let telemetry = look();
        assert!(telemetry.mem.available > 0 && telemetry.mem.available <= telemetry.mem.total);
        assert!(telemetry.uptime > 0);
        let written = serde_json::to_value(&telemetry).unwrap();
        assert_eq!(written["mem"]["total"], telemetry.mem.total);
        assert_eq!(serde_json::from_value::<Telemetry>(written).unwrap(), telemetry);
    }

    #[test]
    fn a_sensor_that_reads_nonsense_does_not_count() {
        let hottest = |readings: &[f32]| hottest(readings.iter().copied());
        assert_eq!(hottest(&[41.25, 55.5, 255.0, -273.15, f32::NAN]), Some(55.5));
        assert_eq!(hottest(&[f32::NAN]), None);
        assert_eq!(hottest(&[]), None);
    }
}
