//! The figures, by their stable names, as a table or as one JSON object.

use serde_json::{Map, Value, json};

/// A figure, its name, and what it is in words.
struct Figure {
    name: String,
    value: f64,
    meaning: &'static str,
}

/// All figures, in the order they were found.
#[derive(Default)]
pub struct Report(Vec<Figure>);

impl Report {
    /// Adds a figure; the unit is the end of its name, a ratio where there is none.
    pub fn add(&mut self, name: &str, value: f64, meaning: &'static str) {
        self.0.push(Figure { name: name.into(), value, meaning });
    }

    /// Prints all of it.
    pub fn print(&self, as_json: bool) {
        if as_json {
            println!("{:#}", Value::Object(self.object()));
            return;
        }
        println!("\n{:<38} {:>10}  meaning", "figure", "value");
        for Figure { name, value, meaning } in &self.0 {
            println!("{name:<38} {value:>10.3}  {meaning}");
        }
    }

    fn object(&self) -> Map<String, Value> {
        let rounded = |value: f64| json!((value * 1000.0).round() / 1000.0);
        self.0.iter().map(|figure| (figure.name.clone(), rounded(figure.value))).collect()
    }
}

/// The middle of the values; the mean of the two middle ones where they are even in number.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.get(half), values.len() % 2) {
        (Some(middle), 1) => *middle,
        (Some(upper), _) => values.get(half.wrapping_sub(1)).map_or(*upper, |lower| (lower + upper) / 2.0),
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]).to_string(), "5");
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]).to_string(), "3");
        assert!(median(Vec::new()).is_nan());
    }
}
