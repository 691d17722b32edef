//! The geometry of small charts: values to an SVG path.

/// A line through `values` in a box of `width` by `height`; the values lie between 0 and `top`. Empty for fewer than
/// two values, for there is no line to draw.
pub fn line(values: &[f64], top: f64, width: f64, height: f64) -> String {
    use std::fmt::Write;
    let mut path = String::new();
    if values.len() < 2 {
        return path;
    }
    let step = width / (values.len() - 1) as f64;
    for (i, value) in values.iter().enumerate() {
        let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
        let command = if i == 0 { 'M' } else { 'L' };
        // Writing to a String cannot fail.
        let _ = write!(path, "{command}{:.2} {:.2}", i as f64 * step, height * (1.0 - share));
    }
    path
}

/// The same line, closed along the bottom, for filling.
pub fn area(values: &[f64], top: f64, width: f64, height: f64) -> String {
    let mut path = line(values, top, width, height);
    if !path.is_empty() {
        path += &format!("L{width:.2} {height:.2}L0 {height:.2}Z");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_in_their_box() {
        assert_eq!(line(&[0.0, 0.5, 2.0], 1.0, 100.0, 20.0), "M0.00 20.00L50.00 10.00L100.00 0.00");
        assert_eq!(area(&[1.0, 1.0], 1.0, 10.0, 5.0), "M0.00 0.00L10.00 0.00L10.00 5.00L0 5.00Z");
        assert_eq!(line(&[1.0], 1.0, 10.0, 5.0), "");
        assert_eq!(line(&[1.0, 1.0], 0.0, 10.0, 5.0), "M0.00 5.00L10.00 5.00");
    }
}
