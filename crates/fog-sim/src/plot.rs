//! The delivered share over time as a small SVG.

use crate::report::{Curve, Report};
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 40.0;
/// Apart in hue and in lightness.
const COLOURS: [&str; 8] =
    ["#0b57d0", "#b3261e", "#146c2e", "#8e4ec6", "#a56300", "#00727a", "#5f6368", "#c2185b"];

/// Draws a report's curves.
pub fn svg(report: &Report) -> String {
    let end = report.curves.iter().flat_map(|c| &c.points).map(|p| p.0).fold(1.0, f64::max);
    let x = |t: f64| LEFT + (WIDTH - LEFT - RIGHT) * t / end;
    let y = |share: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}: {}</text>\n",
        escape(&report.scenario),
        escape(&report.title)
    );
    for tenth in [0, 25, 50, 75, 100] {
        let at = y(f64::from(tenth) / 100.0);
        let right = WIDTH - RIGHT;
        _ = writeln!(
            out,
            "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{tenth} %</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for quarter in 0..=4 {
        let t = end * f64::from(quarter) / 4.0;
        let text = time(t, end);
        _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            x(t),
            HEIGHT - 20.0
        );
    }
    for (n, curve) in report.curves.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        _ = writeln!(
            out,
            "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            path(curve, x, y),
            WIDTH - RIGHT + 8.0,
            TOP + 14.0 * (n as f64 + 1.0),
            escape(&curve.name)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn path(curve: &Curve, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
    for (t, share) in &curve.points {
        _ = write!(path, "L{:.1} {:.1}", x(*t), y(*share));
    }
    path
}

fn time(t: f64, end: f64) -> String {
    match end {
        e if e >= 7200.0 => format!("{:.1} h", t / 3600.0),
        e if e >= 180.0 => format!("{:.0} min", t / 60.0),
        _ => format!("{t:.1} s"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
