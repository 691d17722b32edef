//! What there is to see: spheres on a floor, below a sky.

use crate::vector::{Vector, vector};

/// What a surface does with light.
#[derive(Clone, Copy, PartialEq)]
pub enum Surface {
    /// Scatters it, coloured.
    Matt(Vector),
    /// Mirrors it, coloured and blurred by so much.
    Metal(Vector, f64),
    /// Lets it through, bent.
    Glass,
}

/// A ball.
#[derive(Clone, Copy)]
pub struct Sphere {
    pub centre: Vector,
    pub radius: f64,
    pub surface: Surface,
}

/// Everything, and from where it is seen.
pub struct Scene {
    pub spheres: Vec<Sphere>,
    /// The floor: a plane at height 0.
    pub floor: bool,
    /// Light from everywhere above instead of a sky: to check the renderer against theory.
    pub furnace: bool,
    pub eye: Vector,
    pub target: Vector,
    /// The vertical angle of view, radians.
    pub view: f64,
}

/// The film: the eye goes once around, and the small spheres bounce.
pub fn film(frame: u32, frames: u32) -> Scene {
    let turn = std::f64::consts::TAU * f64::from(frame) / f64::from(frames.max(1));
    let ball = |x, y, z, radius, surface| Sphere { centre: vector(x, y, z), radius, surface };
    let mut spheres = vec![
        ball(0.0, 1.0, 0.0, 1.0, Surface::Glass),
        ball(-2.2, 1.0, 0.3, 1.0, Surface::Matt(vector(0.75, 0.25, 0.18))),
        ball(2.2, 1.0, -0.3, 1.0, Surface::Metal(vector(0.85, 0.8, 0.65), 0.05)),
    ];
    const SMALL: u32 = 14;
    for n in 0..SMALL {
        let place = f64::from(n) / f64::from(SMALL);
        let (sin, cos) = (std::f64::consts::TAU * place).sin_cos();
        let height = 0.32 + 0.55 * (turn * 3.0 + std::f64::consts::TAU * place * 2.0).sin().abs();
        let colour = vector(0.5 + 0.4 * cos, 0.5 + 0.4 * sin, 0.75 - 0.35 * cos);
        let surface = match n % 3 {
            0 => Surface::Metal(colour, 0.2),
            _ => Surface::Matt(colour),
        };
        spheres.push(ball(3.9 * cos, height, 3.9 * sin, 0.32, surface));
    }
    let (sin, cos) = turn.sin_cos();
    Scene {
        spheres,
        floor: true,
        furnace: false,
        eye: vector(8.6 * sin, 3.1, 8.6 * cos),
        target: vector(0.0, 0.75, 0.0),
        view: 0.62,
    }
}

/// How much the sphere of the furnace gives back of the light that meets it.
pub const FURNACE_ALBEDO: f64 = 0.5;

/// A matt sphere in light that comes alike from everywhere. What it gives back is exactly its albedo, wherever one
/// looks, so any other grey is a mistake of the renderer.
pub fn furnace() -> Scene {
    let surface = Surface::Matt(Vector::ONE * FURNACE_ALBEDO);
    Scene {
        spheres: vec![Sphere { centre: Vector::ZERO, radius: 1.0, surface }],
        floor: false,
        furnace: true,
        eye: vector(0.0, 0.0, 4.0),
        target: Vector::ZERO,
        view: 0.7,
    }
}
