//! Rooms for stereo and music (SPEC section 13.7): what the terms say, everybody's invite says and
//! every member has.

use std::time::Duration;

use sottovoce::{
    Authenticity, PacketSize,
    media::Sound,
    room::Invite,
    voice::{ReceiverOptions, Sender, SenderOptions},
};
use sottovoce_testkit::net::{Net, options};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_room_has_the_sound_that_its_maker_chose_and_everybody_knows_it_before_coming_in() {
    for (n, sound) in [Sound::Speech, Sound::StereoSpeech, Sound::Music].into_iter().enumerate() {
        for authenticity in [Authenticity::Signed, Authenticity::Group] {
            let mut net = Net::new(500 + n as u64);
            let mut of = options("a concert");
            (of.sound, of.authenticity) = (sound, authenticity);
            let host = net.create("host", of);
            let invite = net.invite(host);
            assert_eq!(invite.parse::<Invite>().unwrap().sound(), sound);
            let guest = net.knock("guest", &invite);
            // An application can make its decoders before anybody has answered.
            assert_eq!(net.room(guest).sound(), Some(sound));
            assert_eq!(ReceiverOptions::of_room(net.room(guest)).map(|options| options.sound), Some(sound));
            assert!(SenderOptions::of_room(net.room(guest)).is_none(), "its packet size is in the terms");
            net.run_until("the guest is in", |net| {
                net.admit_all(host, None);
                net.is_present(guest)
            });
            for peer in [host, guest] {
                let room = net.room(peer);
                assert_eq!(room.sound(), Some(sound));
                let size = if sound == Sound::Speech { PacketSize::default().bytes() } else { 400 };
                assert_eq!(room.packet_size().map(PacketSize::bytes), Some(size));
                let options = SenderOptions::of_room(room).unwrap();
                assert_eq!((options.sound, options.size.bytes()), (sound, size));
                assert_eq!(options.authenticity, authenticity);
                Sender::new(options).unwrap();
            }
            // And it is still known on the way back.
            net.run_for(2 * SECOND);
            assert_eq!(net.room(guest).sound(), Some(sound));
        }
    }
}
