//! Path tracing: light is followed backwards from the eye, and chance decides where it goes at each surface.

use crate::random::Random;
use crate::scene::{Scene, Surface};
use crate::vector::{Vector, vector};

/// Surfaces on one way at most.
const DEPTH: u32 = 12;
/// After so many, ways that carry little light are often given up; those that go on count for more.
const ROULETTE: u32 = 3;
/// Nearer than this is the surface that the light just left.
const NEAR: f64 = 1e-6;
const GLASS_INDEX: f64 = 1.5;
/// Where the sun stands; a unit vector.
const SUN: Vector = vector(0.48, 0.64, 0.6);

/// Where a ray meets something.
struct Hit {
    point: Vector,
    /// Points out of the surface.
    normal: Vector,
    surface: Surface,
}

/// The picture as 8-bit RGB. `told` hears of every row that is done.
pub fn picture(
    scene: &Scene,
    width: u32,
    height: u32,
    samples: u32,
    frame: u32,
    mut told: impl FnMut(u32),
) -> Vec<u8> {
    let forward = (scene.target - scene.eye).unit();
    let right = forward.cross(vector(0.0, 1.0, 0.0)).unit();
    let up = right.cross(forward);
    let scale = (scene.view / 2.0).tan() / (f64::from(height) / 2.0);
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for row in 0..height {
        let mut random = Random::new(u64::from(frame), u64::from(row));
        for column in 0..width {
            let mut sum = Vector::ZERO;
            for _ in 0..samples {
                let x = (f64::from(column) + random.unit() - f64::from(width) / 2.0) * scale;
                let y = (f64::from(height) / 2.0 - f64::from(row) - random.unit()) * scale;
                sum = sum + light(scene, scene.eye, (forward + right * x + up * y).unit(), &mut random);
            }
            let mean = sum * (1.0 / f64::from(samples.max(1)));
            pixels.extend([mean.x, mean.y, mean.z].map(to_byte));
        }
        told(row + 1);
    }
    pixels
}

/// Linear light to sRGB.
pub fn to_byte(linear: f64) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let shown = if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (shown * 255.0 + 0.5) as u8
}

/// The light that comes to `from` out of a direction.
fn light(scene: &Scene, mut from: Vector, mut way: Vector, random: &mut Random) -> Vector {
    let mut share = Vector::ONE;
    for depth in 0..DEPTH {
        let Some(hit) = meet(scene, from, way) else { return share.filter(sky(scene, way)) };
        let outside = way.dot(hit.normal) < 0.0;
        let normal = if outside { hit.normal } else { -hit.normal };
        match hit.surface {
            Surface::Matt(colour) => {
                share = share.filter(colour);
                // Lambert's law: normal plus a random direction has the right distribution.
                let towards = normal + random.direction();
                way = if towards.dot(towards) < 1e-12 { normal } else { towards.unit() };
            }
            Surface::Metal(colour, blur) => {
                share = share.filter(colour);
                way = (way.reflect(normal) + random.direction() * blur).unit();
                if way.dot(normal) <= 0.0 {
                    return Vector::ZERO;
                }
            }
            Surface::Glass => way = through_glass(way, normal, outside, random),
        }
        from = hit.point;
        if depth >= ROULETTE {
            let goes_on = share.largest().min(0.95);
            if random.unit() >= goes_on {
                return Vector::ZERO;
            }
            share = share * (1.0 / goes_on);
        }
    }
    Vector::ZERO
}

/// Snell's law; how much is mirrored by Schlick's approximation of Fresnel's.
fn through_glass(way: Vector, normal: Vector, outside: bool, random: &mut Random) -> Vector {
    let ratio = if outside { 1.0 / GLASS_INDEX } else { GLASS_INDEX };
    let cos = (-way.dot(normal)).min(1.0);
    let sin = (1.0 - cos * cos).max(0.0).sqrt();
    let straight = ((1.0 - GLASS_INDEX) / (1.0 + GLASS_INDEX)).powi(2);
    let mirrored = straight + (1.0 - straight) * (1.0 - cos).powi(5);
    if ratio * sin > 1.0 || random.unit() < mirrored {
        return way.reflect(normal);
    }
    let across = (way + normal * cos) * ratio;
    let along = -(1.0 - across.dot(across)).max(0.0).sqrt();
    (across + normal * along).unit()
}

fn sky(scene: &Scene, way: Vector) -> Vector {
    if scene.furnace {
        return Vector::ONE;
    }
    let height = way.y.max(0.0).sqrt();
    let blue = vector(0.78, 0.82, 0.9) * (1.0 - height) + vector(0.18, 0.36, 0.72) * height;
    // A low sun behind haze: a small bright one would take many more samples.
    blue + vector(1.9, 1.4, 0.8) * way.dot(SUN).max(0.0).powi(6)
}

/// The first thing on the way.
fn meet(scene: &Scene, from: Vector, way: Vector) -> Option<Hit> {
    let mut nearest = f64::INFINITY;
    let mut which = None;
    for sphere in &scene.spheres {
        let between = from - sphere.centre;
        let b = between.dot(way);
        let root = b * b - (between.dot(between) - sphere.radius * sphere.radius);
        if root <= 0.0 {
            continue;
        }
        let root = root.sqrt();
        let distance = if -b - root > NEAR { -b - root } else { -b + root };
        if distance > NEAR && distance < nearest {
            (nearest, which) = (distance, Some(sphere));
        }
    }
    if scene.floor && way.y < 0.0 {
        let distance = -from.y / way.y;
        if distance > NEAR && distance < nearest {
            let point = from + way * distance;
            let light = (point.x.floor() + point.z.floor()).rem_euclid(2.0) < 0.5;
            let grey = if light { 0.72 } else { 0.28 };
            let surface = Surface::Matt(vector(grey, grey * 0.97, grey * 0.92));
            return Some(Hit { point, normal: vector(0.0, 1.0, 0.0), surface });
        }
    }
    let sphere = which?;
    let point = from + way * nearest;
    let normal = (point - sphere.centre) * (1.0 / sphere.radius);
    // Back onto the surface: rounding grows with the distance.
    Some(Hit {
        point: sphere.centre + normal.unit() * sphere.radius,
        normal: normal.unit(),
        surface: sphere.surface,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{FURNACE_ALBEDO, film, furnace};

    #[test]
    fn a_matt_sphere_in_even_light_shows_its_albedo_everywhere() {
        let (width, height) = (64, 48);
        let pixels = picture(&furnace(), width, height, 64, 0, |_| {});
        let (inside, outside) = (to_byte(FURNACE_ALBEDO), to_byte(1.0));
        let at = |x: u32, y: u32| pixels[((y * width + x) * 3) as usize];
        for x in 24..40 {
            for y in 16..32 {
                assert_eq!(at(x, y), inside, "{x} {y}");
            }
        }
        for (x, y) in [(0, 0), (63, 0), (0, 47), (63, 47), (32, 0)] {
            assert_eq!(at(x, y), outside, "{x} {y}");
        }
        // The silhouette: a sphere of radius 1 at a distance of 4 fills this share of the picture.
        let share =
            pixels.iter().step_by(3).filter(|p| **p != outside).count() as f64 / f64::from(width * height);
        let radius = (1.0 / 15f64.sqrt()) / (0.35f64.tan() / 24.0);
        let expected = std::f64::consts::PI * radius * radius / f64::from(width * height);
        assert!((share / expected - 1.0).abs() < 0.12, "{share} {expected}");
    }

    #[test]
    fn a_frame_is_the_same_each_time_and_differs_from_the_next() {
        let frame = |n| picture(&film(n, 24), 16, 9, 2, n, |_| {});
        assert_eq!(frame(3), frame(3));
        assert_ne!(frame(3), frame(4));
    }
}
