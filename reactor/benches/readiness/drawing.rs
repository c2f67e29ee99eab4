//! The curve as a picture: SVG, a panel for each number of active descriptors.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::curve::{ACTIVE, Line};

const PANEL: (u32, u32) = (300, 320);
/// Okabe and Ito's colours, which people tell apart whatever their eyes are like.
const COLOURS: [RGBColor; 6] = [
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

type Failure = Box<dyn Error + Send + Sync>;

/// Microseconds of an event over the number of descriptors, both logarithmic.
pub fn draw(lines: &[Line]) -> Result<String, Failure> {
    let mut picture = String::new();
    let size = (PANEL.0 * ACTIVE.len() as u32, PANEL.1);
    let area = SVGBackend::with_string(&mut picture, size).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, active) in area.split_evenly((1, ACTIVE.len())).iter().zip(ACTIVE) {
        let of_panel: Vec<&Line> = lines.iter().filter(|line| line.active == active).collect();
        draw_panel(panel, active, &of_panel, range(lines))?;
    }
    area.present()?;
    drop(area);
    Ok(picture)
}

fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    active: usize,
    lines: &[&Line],
    (descriptors, micros): (Range<usize>, Range<f64>),
) -> Result<(), Failure> {
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("{active} active"), ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(44)
        .build_cartesian_2d(descriptors.log_scale(), micros.log_scale())?;
    chart.configure_mesh().x_desc("descriptors").y_desc("µs of an event").light_line_style(WHITE).draw()?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)).point_size(2))?
            .label(line.kind.to_string())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).draw()?;
    Ok(())
}

/// What all panels show, so that they can be compared.
fn range(lines: &[Line]) -> (Range<usize>, Range<f64>) {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = points().map(|&(descriptors, _)| descriptors).max().unwrap_or(1);
    let fewest = points().map(|&(descriptors, _)| descriptors).min().unwrap_or(1);
    let longest = points().map(|&(_, micros)| micros).fold(1.0, f64::max);
    let shortest = points().map(|&(_, micros)| micros).fold(longest, f64::min);
    (fewest..most, shortest / 1.5..longest * 1.5)
}
