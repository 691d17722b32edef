//! A picture in memory, and making it smaller.

/// 8 bits each of red, green, blue and opacity, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
}

/// The largest size of the same shape with no side longer than `size`; never larger than the picture is.
pub fn fit(width: u32, height: u32, size: u32) -> (u32, u32) {
    let longest = width.max(height).max(1);
    if longest <= size {
        return (width, height);
    }
    let scaled = |side: u32| {
        let exact = u64::from(side) * u64::from(size);
        ((exact + u64::from(longest) / 2) / u64::from(longest)).max(1) as u32
    };
    (scaled(width), scaled(height))
}

/// sRGB to linear light: a mean of stored values would be too dark.
fn to_linear(byte: u8) -> f32 {
    let shown = f32::from(byte) / 255.0;
    if shown <= 0.040_45 { shown / 12.92 } else { ((shown + 0.055) / 1.055).powf(2.4) }
}

fn from_linear(linear: f32) -> u8 {
    let shown = if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (shown * 255.0 + 0.5).clamp(0.0, 255.0) as u8
}

/// Which pixels of a line make up one pixel of a shorter line, with their shares.
fn shares(from: u32, to: u32, at: u32) -> impl Iterator<Item = (u32, f32)> {
    let scale = f64::from(from) / f64::from(to);
    let (start, end) = (f64::from(at) * scale, (f64::from(at) + 1.0) * scale);
    let last = (end.ceil() as u32).min(from);
    (start.floor() as u32..last).filter_map(move |i| {
        let covered = (f64::from(i) + 1.0).min(end) - f64::from(i).max(start);
        (covered > 0.0).then_some((i, (covered / scale) as f32))
    })
}

impl Picture {
    /// Smaller: each new pixel is the mean, in linear light, of the area that it covers.
    pub fn shrink(&self, width: u32, height: u32) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let light: [f32; 256] = std::array::from_fn(|b| to_linear(b as u8));
        let columns: Vec<Vec<(u32, f32)>> =
            (0..width).map(|x| shares(self.width, width, x).collect()).collect();
        let mut pixels = Vec::with_capacity(width as usize * height as usize * 4);
        let mut row = vec![[0f32; 4]; width as usize];
        for y in 0..height {
            row.fill([0.0; 4]);
            for (line, weight) in shares(self.height, height, y) {
                let start = line as usize * self.width as usize * 4;
                let line = &self.pixels[start..start + self.width as usize * 4];
                for (sum, column) in row.iter_mut().zip(&columns) {
                    for (x, share) in column {
                        let p = &line[*x as usize * 4..][..4];
                        // A colour counts as far as it can be seen.
                        let seen = weight * share * f32::from(p[3]) / 255.0;
                        for channel in 0..3 {
                            sum[channel] += seen * light[usize::from(p[channel])];
                        }
                        sum[3] += seen;
                    }
                }
            }
            for [red, green, blue, seen] in &row {
                let colour = |sum: &f32| if *seen > 0.0 { from_linear(sum / seen) } else { 0 };
                pixels.extend([
                    colour(red),
                    colour(green),
                    colour(blue),
                    (seen * 255.0 + 0.5).min(255.0) as u8,
                ]);
            }
        }
        Self { width, height, pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_their_shape() {
        assert_eq!(fit(4000, 3000, 128), (128, 96));
        assert_eq!(fit(3000, 4000, 128), (96, 128));
        assert_eq!(fit(100, 50, 128), (100, 50));
        assert_eq!(fit(10_000, 1, 128), (128, 1));
        assert_eq!(fit(u32::MAX, u32::MAX, 4096), (4096, 4096));
    }

    #[test]
    fn every_pixel_counts_once() {
        for (from, to) in [(7, 3), (100, 99), (5, 5), (4000, 128), (3, 1)] {
            let mut seen = vec![0f32; from as usize];
            for at in 0..to {
                let all: Vec<_> = shares(from, to, at).collect();
                assert!((all.iter().map(|(_, s)| s).sum::<f32>() - 1.0).abs() < 1e-3, "{from} {to} {at}");
                all.iter().for_each(|(i, s)| seen[*i as usize] += s);
            }
            assert!(seen.iter().all(|s| (s - to as f32 / from as f32).abs() < 1e-3), "{from} {to}");
        }
    }

    #[test]
    fn black_and_white_become_the_grey_of_half_the_light() {
        let mut pixels = Vec::new();
        for i in 0..64 {
            let value = if (i % 8 + i / 8) % 2 == 0 { 255 } else { 0 };
            pixels.extend([value, value, value, 255]);
        }
        let small = Picture { width: 8, height: 8, pixels }.shrink(4, 4);
        assert_eq!(small.pixels, [188, 188, 188, 255].repeat(16));
    }

    #[test]
    fn what_cannot_be_seen_gives_no_colour() {
        let pixels = [[255, 0, 0, 0], [0, 0, 255, 255]].concat();
        let small = Picture { width: 2, height: 1, pixels }.shrink(1, 1);
        assert_eq!(small.pixels, [0, 0, 255, 128]);
    }
}
