//! Sound as a picture: time to the right, pitch upwards, level as colour.
//!
//! A short-time Fourier transform with a Hann window of 2,048 samples (43 ms at 48 kHz). The pitch
//! axis is mel, up to 12 kHz, so that half of the picture belongs to the voice. All pictures share
//! one scale of levels, so that they can be compared: dark is at or below [`QUIET`], light is at or
//! above [`LOUD`].

use realfft::RealFftPlanner;

/// A picture of 8-bit palette indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row from the top left, each a level from 0 to [`LEVELS`] - 1.
    pub levels: Vec<u8>,
}

impl Image {
    /// The picture as a PNG file.
    pub fn png(&self) -> Vec<u8> {
        let size =
            |pixels: usize| u32::try_from(pixels).expect("a picture has far fewer than 2^32 pixels a side");
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, size(self.width), size(self.height));
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette().concat());
        encoder.set_compression(png::Compression::High);
        encoder.set_filter(png::Filter::NoFilter);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.levels));
        written.expect("writing to memory cannot fail, and there are width times height levels");
        file
    }
}

/// Draws mono samples at 48 kHz, `width` by `height` pixels.
pub fn draw(samples: &[i16], width: usize, height: usize) -> Image {
    let mut transform = Transform::new();
    let rows: Vec<Row> = (0..height).rev().map(|row| Row::new(row, height)).collect();
    let mut levels = vec![0; width * height];
    for column in 0..width {
        let (from, to) = (column * samples.len() / width, (column + 1) * samples.len() / width);
        let power = transform.power(samples, from, to);
        for (row, bins) in rows.iter().enumerate() {
            levels[row * width + column] = level(bins.read(&power));
        }
    }
    Image { width, height, levels }
}

/// How far up the picture a frequency in Hz stands: 0 at the bottom, 1 at the top.
pub fn height_of(hz: f64) -> f64 {
    (mel(hz) - mel(LOWEST)) / (mel(HIGHEST) - mel(LOWEST))
}

/// A window, a transform and their buffers.
struct Transform {
    fft: std::sync::Arc<dyn realfft::RealToComplex<f32>>,
    window: Vec<f32>,
    frame: Vec<f32>,
}

impl Transform {
    fn new() -> Self {
        let turn = std::f32::consts::TAU / WINDOW as f32;
        let window: Vec<f32> = (0..WINDOW).map(|n| 0.5 - 0.5 * (turn * n as f32).cos()).collect();
        Transform { fft: RealFftPlanner::new().plan_fft_forward(WINDOW), frame: window.clone(), window }
    }

    /// The mean power in each bin of the windows centred between `from` and `to`. A sine at full
    /// scale gives 1.
    fn power(&mut self, samples: &[i16], from: usize, to: usize) -> Vec<f64> {
        let windows = (to - from).div_ceil(HOP).max(1);
        let mut spectrum = self.fft.make_output_vec();
        let mut power = vec![0.0; spectrum.len()];
        for index in 0..windows {
            let centre = from + (to - from) * (2 * index + 1) / (2 * windows);
            for (n, (value, weight)) in self.frame.iter_mut().zip(&self.window).enumerate() {
                let place = (centre + n).checked_sub(WINDOW / 2);
                let sample = place.and_then(|place| samples.get(place)).copied().unwrap_or(0);
                *value = f32::from(sample) / 32_768.0 * weight;
            }
            self.fft
                .process(&mut self.frame, &mut spectrum)
                .expect("both buffers have the lengths planned for");
            for (sum, bin) in power.iter_mut().zip(&spectrum) {
                // The window passes half of the amplitude, and half of that is in the bins not
                // kept.
                *sum += f64::from(bin.norm_sqr()) * (4.0 / WINDOW as f64).powi(2) / windows as f64;
            }
        }
        power
    }
}

/// The part of the spectrum that one row of pixels shows, in bins.
struct Row {
    from: f64,
    to: f64,
}

impl Row {
    /// The row that is `index` above the bottom of `height` rows.
    fn new(index: usize, height: usize) -> Self {
        let bin = |edge: usize| {
            let mel = mel(LOWEST) + (mel(HIGHEST) - mel(LOWEST)) * edge as f64 / height as f64;
            700.0 * (10f64.powf(mel / 2595.0) - 1.0) * WINDOW as f64 / RATE
        };
        Row { from: bin(index), to: bin(index + 1) }
    }

    /// The mean power of the bins in the row, or what lies between two bins where the row is
    /// narrower than one.
    fn read(&self, power: &[f64]) -> f64 {
        let (first, last) = (self.from.ceil() as usize, self.to.ceil() as usize);
        if last > first {
            return power[first..last].iter().sum::<f64>() / (last - first) as f64;
        }
        let middle = (self.from + self.to) / 2.0;
        let (below, share) = (middle.floor() as usize, middle.fract());
        power[below] * (1.0 - share) + power[below + 1] * share
    }
}

/// Power to a level from 0 to `LEVELS - 1`.
fn level(power: f64) -> u8 {
    let share = (10.0 * power.max(1e-30).log10() - QUIET) / (LOUD - QUIET);
    (share.clamp(0.0, 1.0) * (LEVELS - 1) as f64).round() as u8
}

/// The mel scale after O'Shaughnessy (1987).
fn mel(hz: f64) -> f64 {
    2595.0 * (1.0 + hz / 700.0).log10()
}

/// The colours of all levels: lightness rises evenly in OKLCH, hue turns from violet over red to
/// pale yellow, so that equal steps of level look equal, also in grey and to most colour-blind
/// eyes.
fn palette() -> [[u8; 3]; LEVELS] {
    std::array::from_fn(|level| {
        let share = level as f64 / (LEVELS - 1) as f64;
        let lightness = 0.10 + 0.87 * share;
        let chroma = 0.02 + 0.20 * (std::f64::consts::PI * share.powf(0.8)).sin().max(0.0) + 0.05 * share;
        let hue = (285.0 + 180.0 * share.powf(0.9)).to_radians();
        // Where sRGB cannot show the colour, keep lightness and hue and give up chroma.
        let steps = (0..=50).rev().map(|step| oklch(lightness, chroma * f64::from(step) / 50.0, hue));
        let linear = steps.clone().find(|rgb| rgb.iter().all(|part| (0.0..=1.0).contains(part)));
        linear.unwrap_or([lightness.powi(3); 3]).map(|part| {
            let encoded =
                if part <= 0.003_130_8 { 12.92 * part } else { 1.055 * part.powf(1.0 / 2.4) - 0.055 };
            (encoded * 255.0).round() as u8
        })
    })
}

/// OKLCH to linear sRGB, each part from 0 to 1 where the screen can show it (B. Ottosson, 2020).
fn oklch(lightness: f64, chroma: f64, hue: f64) -> [f64; 3] {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

/// The level that is shown darkest, in dB below a sine at full scale.
pub const QUIET: f64 = -95.0;
/// The level that is shown lightest, in dB below a sine at full scale.
pub const LOUD: f64 = -20.0;
/// The bottom of the pitch axis, in Hz.
pub const LOWEST: f64 = 50.0;
/// The top of the pitch axis, in Hz.
pub const HIGHEST: f64 = 12_000.0;
/// Colours in a picture.
pub const LEVELS: usize = 128;
const RATE: f64 = 48_000.0;
const WINDOW: usize = 2_048;
/// The most samples between two windows.
const HOP: usize = 1_024;
