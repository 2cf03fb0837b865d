//! The words of a policy, as a document has them.

use coracle_core::time::Timestamp;
use coracle_host::console::exit::Failure;
use serde_json::{Map, Number, Value, json};

use crate::args::PolicyArgs;

/// Seconds of `90s`, `15m`, `2h`, `30d` or `4w`.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration as 90s, 15m, 2h, 30d or 4w");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: u64 =
        text.get(..text.len() - unit.len_utf8()).and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// `policy`, with what was said and nothing else: where it is silent, the board's own defaults hold.
pub(crate) fn policy(args: &PolicyArgs, now: Timestamp) -> Result<Map<String, Value>, Failure> {
    let mut policy = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            policy.insert(key.to_owned(), value);
        }
    };
    put("mode", args.mode.map(|mode| mode.word().into()));
    put("priority", args.priority.map(Value::from));
    // The number as it was written: a binary fraction would not be the same.
    let percent = |text: &String| {
        text.parse::<Number>().map_err(|_| Failure::usage(format!("--percent {text:?} is not a number")))
    };
    put("percent", args.percent.as_ref().map(percent).transpose()?.map(Value::Number));
    put("seed", args.seed.clone().map(Value::from));
    put("spread", args.spread.map(Value::from));
    put("notBefore", args.not_before.map(|wait| now.after(wait).0.into()));
    put("deadline", args.deadline.map(|wait| now.after(wait).0.into()));
    put("health", args.health.map(Value::from));
    put("soak", args.soak.map(Value::from));
    put("attempts", args.attempts.map(Value::from));
    put("onFailure", args.on_failure.map(|action| action.word().into()));
    put("hold", args.hold.then_some(Value::Bool(true)));
    let windows = args.windows.iter().map(|text| window(text)).collect::<Result<Vec<_>, _>>()?;
    put("windows", Some(windows).filter(|windows| !windows.is_empty()).map(Value::Array));
    let download = match (args.download_any_time, args.max_bps) {
        (false, None) => None,
        (outside, bound) => Some(json!({ "outsideWindow": outside, "maxBps": bound.unwrap_or(0) })),
    };
    put("download", download);
    Ok(policy)
}

/// `Sat,Sun 23:30 60m Europe/Berlin`: days and zone may be left out.
fn window(text: &str) -> Result<Value, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "--window {text:?} is not of the form \"[Sat,Sun] 23:30 60m [Europe/Berlin]\""
        ))
    };
    let mut words = text.split_whitespace().peekable();
    let days = words.next_if(|word| !word.contains(':')).map(|days| days.split(',').collect::<Vec<_>>());
    let start = words.next().ok_or_else(wrong)?;
    let length = words
        .next()
        .and_then(|word| seconds(word).ok())
        .filter(|length| length % 60 == 0)
        .ok_or_else(wrong)?;
    let zone = words.next();
    if words.next().is_some() {
        return Err(wrong());
    }
    let mut window = json!({ "start": start, "minutes": length / 60 });
    if let Some(fields) = window.as_object_mut() {
        fields.extend(days.map(|days| ("days".to_owned(), days.into())));
        fields.extend(zone.map(|zone| ("tz".to_owned(), zone.into())));
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in
            [("90s", Some(90)), ("15m", Some(900)), ("2h", Some(7200)), ("4w", Some(2_419_200))]
        {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
        for text in ["", "1", "s", "-1s", "1.5h", "1y", "1é", "99999999999999999999s", "9999999999999999999w"]
        {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_window_is_written_as_people_say_it() {
        let shown =
            |text: &str| window(text).map(|window| window.to_string()).map_err(|failure| failure.message);
        assert_eq!(shown("23:30 60m").unwrap(), r#"{"minutes":60,"start":"23:30"}"#);
        let full = r#"{"days":["Sat","Sun"],"minutes":120,"start":"01:00","tz":"Europe/Berlin"}"#;
        assert_eq!(shown("Sat,Sun 01:00 2h Europe/Berlin").unwrap(), full);
        for text in ["", "Sat", "23:30", "23:30 x", "23:30 90s", "Sat 23:30 60m UTC more"] {
            assert!(shown(text).is_err(), "{text}");
        }
    }
}
