//! WAV files as people have them, for the examples: every usual kind of sample, headers of pipes
//! and of killed recorders.

use std::{fs, path::PathBuf, time::Duration};

use sottovoce_examples::wav;

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const LONG: Duration = Duration::from_secs(60);

/// A header, before what is wrong with it.
#[derive(Clone, Copy)]
struct Header {
    magic: &'static [u8; 4],
    riff: u32,
    data: u32,
    ds64: Option<u64>,
    tag: u16,
    channels: u16,
    bits: u16,
    extensible: bool,
}

impl Header {
    fn of(tag: u16, channels: u16, bits: u16, sound: &[u8]) -> Self {
        let data = sound.len() as u32;
        Self { magic: b"RIFF", riff: 36 + data, data, ds64: None, tag, channels, bits, extensible: false }
    }

    fn file(&self, sound: &[u8]) -> Vec<u8> {
        let mut file = [&self.magic[..], &self.riff.to_le_bytes(), b"WAVE"].concat();
        if let Some(size) = self.ds64 {
            file.extend(
                [&b"ds64"[..], &28_u32.to_le_bytes(), &(size + 80).to_le_bytes(), &size.to_le_bytes()]
                    .concat(),
            );
            file.extend([0; 12]);
        }
        let block = self.channels * self.bits.div_ceil(8);
        file.extend([&b"fmt "[..], &(if self.extensible { 40_u32 } else { 16 }).to_le_bytes()].concat());
        file.extend((if self.extensible { 0xfffe } else { self.tag }).to_le_bytes());
        file.extend(self.channels.to_le_bytes());
        file.extend(48_000_u32.to_le_bytes());
        file.extend((48_000 * u32::from(block)).to_le_bytes());
        file.extend([block.to_le_bytes(), self.bits.to_le_bytes()].concat());
        if self.extensible {
            file.extend([22_u16.to_le_bytes(), self.bits.to_le_bytes(), [0; 2], [0; 2]].concat());
            file.extend(self.tag.to_le_bytes());
            file.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
        }
        [&file[..], b"data", &self.data.to_le_bytes(), sound].concat()
    }
}

fn path(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wav");
    fs::create_dir_all(&dir).unwrap();
    dir.join(name)
}

fn read(name: &str, file: &[u8]) -> Result<Vec<f32>, wav::Error> {
    let path = path(name);
    fs::write(&path, file).unwrap();
    wav::read(&path, LONG).map(|recording| recording.samples)
}

/// A quarter of full scale up and down.
const WAVE: [f64; 4] = [0.25, 0.5, -0.25, -0.5];

fn sound(sample: impl Fn(f64) -> Vec<u8>) -> Vec<u8> {
    WAVE.iter().cycle().take(400).flat_map(|value| sample(*value)).collect()
}

#[test]
fn samples_of_every_usual_kind_are_read() {
    let kinds: [(&str, u16, u16, Vec<u8>); 8] = [
        ("u8", PCM, 8, sound(|x| vec![(x * 128.0 + 128.0) as u8])),
        ("i16", PCM, 16, sound(|x| ((x * 32_768.0) as i16).to_le_bytes().to_vec())),
        ("i20", PCM, 20, sound(|x| ((x * 8_388_608.0) as i32).to_le_bytes()[..3].to_vec())),
        ("i32", PCM, 32, sound(|x| ((x * 2_147_483_648.0) as i32).to_le_bytes().to_vec())),
        ("f32", FLOAT, 32, sound(|x| (x as f32).to_le_bytes().to_vec())),
        ("f64", FLOAT, 64, sound(|x| x.to_le_bytes().to_vec())),
        // G.711: the codes whose values are nearest to 8,192 and 16,384 of 32,768.
        (
            "a-law",
            A_LAW,
            8,
            sound(|x| vec![[0xb5, 0xa5, 0x35, 0x25][WAVE.iter().position(|w| *w == x).unwrap()]]),
        ),
        (
            "u-law",
            MU_LAW,
            8,
            sound(|x| vec![[0x9f, 0x8f, 0x1f, 0x0f][WAVE.iter().position(|w| *w == x).unwrap()]]),
        ),
    ];
    for (name, tag, bits, sound) in kinds {
        for extensible in [false, true] {
            let header = Header { extensible, ..Header::of(tag, 1, bits, &sound) };
            let samples = read(&format!("{name}.wav"), &header.file(&sound)).unwrap();
            assert_eq!(samples.len(), 400, "{name}");
            for (sample, said) in samples.iter().zip(WAVE.iter().cycle()) {
                assert!((f64::from(*sample) - said).abs() < 0.02, "{name}: {sample} for {said}");
            }
        }
    }
}

#[test]
fn a_header_that_does_not_know_the_size_means_to_the_end_of_the_file() {
    let sound = sound(|x| ((x * 32_768.0) as i16).to_le_bytes().to_vec());
    let good = Header::of(PCM, 1, 16, &sound);
    let large = Header { magic: b"RF64", riff: u32::MAX, data: u32::MAX, ds64: Some(800), ..good };
    let headers = [
        ("pipe", Header { riff: u32::MAX, data: u32::MAX, ..good }),
        ("sox", Header { riff: 0x7fff_f024, data: 0x7fff_f000, ..good }),
        ("arecord", Header { riff: 0x8000_0024, data: 0x8000_0000, ..good }),
        ("killed", Header { riff: 36, data: 0, ..good }),
        ("killed-at-once", Header { riff: 0, data: 0, ..good }),
        ("rf64", large),
        ("bw64", Header { magic: b"BW64", ..large }),
        ("rf64-killed", Header { ds64: Some(0), ..large }),
        ("rf64-small", Header { data: 800, ..large }),
    ];
    for (name, header) in headers {
        assert_eq!(read(&format!("{name}.wav"), &header.file(&sound)).unwrap().len(), 400, "{name}");
        if !name.starts_with("rf64") && name != "bw64" {
            // Killed in the middle of a sample.
            let file = header.file(&[&sound[..], &[1]].concat());
            assert_eq!(read(&format!("{name}.wav"), &file).unwrap().len(), 400, "{name}");
        }
        assert!(read(&format!("{name}.wav"), &header.file(&[])).is_err(), "{name}: no sound");
    }
    // What knows its size and is shorter is still truncated.
    for header in [good, large] {
        let error = read("truncated.wav", &header.file(&sound[..400])).unwrap_err();
        assert!(matches!(error.fault, wav::Fault::Truncated { .. }), "{error}");
    }
}

#[test]
fn a_voice_is_there_whichever_channels_of_a_recording_it_is_on() {
    for channels in [2, 6, 8, 32] {
        let voice = |n: usize| ((n as f32 * 0.03).sin() * 16_000.0) as i16;
        for on_all in [true, false] {
            let sound: Vec<u8> = (0..48_000)
                .flat_map(|n| (0..channels).map(move |channel| (n, channel)))
                .flat_map(|(n, channel)| {
                    match (on_all, channel % 2) {
                        (true, 0) => voice(n),
                        (true, _) => -voice(n),
                        (false, _) if channel == 1 => voice(n),
                        _ => 0,
                    }
                    .to_le_bytes()
                })
                .collect();
            let samples = read("channels.wav", &Header::of(PCM, channels, 16, &sound).file(&sound)).unwrap();
            let power = samples[4_800..].iter().map(|sample| sample * sample).sum::<f32>() / 43_200.0;
            assert!((power / 0.119 - 1.0).abs() < 0.05, "{channels}: {power}");
        }
    }
}

#[test]
fn a_recording_is_there_while_it_is_made_and_however_it_ends() {
    let path = path("written.wav");
    let mut writer = wav::Writer::create(&path, 1).unwrap();
    let second: Vec<i16> = (0..48_000).map(|n| (n % 1_000) as i16).collect();
    for _ in 0..3 {
        writer.append(&second).unwrap();
    }
    // Killed now, nothing of it is missing.
    assert_eq!(wav::read(&path, LONG).unwrap().samples.len(), 3 * 48_000);
    writer.append(&[7; 100]).unwrap();
    drop(writer);
    assert_eq!(wav::read(&path, LONG).unwrap().samples.len(), 3 * 48_000 + 100);
    let mut writer = wav::Writer::create(&path, 1).unwrap();
    writer.append(&[7; 100]).unwrap();
    writer.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap().len(), 44 + 200);
    assert_eq!(wav::read(&path, LONG).unwrap().samples.len(), 100);
}
