//! What a packet carries, shown to its flow's parser.

use sekimori_wire::time::Timestamp;

use super::Observer;
use crate::counters::Counter;
use crate::decode::{Flags, Ip, Transport};
use crate::event::{Application, Event, FlowEvent, Transaction};
use crate::flow::Reading;
use crate::flow::stream::Payload;
use crate::proto::{Session, Side, Sink};

impl Observer {
    /// Shows the payload to the flow's parser.
    pub(super) fn parse(
        &mut self,
        at: Timestamp,
        slot: u32,
        side: Side,
        ip: &Ip<'_>,
        events: &mut Vec<Event>,
    ) {
        let Some(flow) = self.table.flow_mut(slot) else { return };
        let reference = flow.reference();
        let mut first = flow.reading().is_none().then(|| flow.first_reading());
        let Some(reading) = flow.reading().as_deref_mut().or(first.as_mut()) else { return };
        let Reading { session, notes, stream } = reading;
        let mut sink = Sink { at, flow: reference, notes, counters: &mut self.counters, events };
        if !ip.payload.is_empty() && session.is_fresh() && self.expected.has(reference.responder) {
            sink.is(Application::FtpData);
            *session = Session::Opaque;
        } else {
            match ip.transport {
                Transport::Tcp(tcp) if tcp.flags.has(Flags::RST) => {}
                Transport::Tcp(tcp) => {
                    let syn = tcp.flags.has(Flags::SYN);
                    let sequence = tcp.sequence.wrapping_add(syn.into());
                    if syn {
                        stream.begin(side, sequence);
                    }
                    let payload = Payload { sequence, bytes: ip.payload, wire_bytes: ip.payload_bytes };
                    if tcp.flags.has(Flags::ACK) {
                        let acked = tcp.acknowledgment;
                        stream.acknowledge(side.other(), acked, session, &mut self.pool, &mut sink);
                    }
                    stream.deliver(side, payload, session, &mut self.pool, &mut sink);
                }
                Transport::Udp(_) if ip.payload.is_empty() => {}
                Transport::Udp(_) => {
                    let before = sink.events.len();
                    session.read_datagram(side, ip.payload, ip.payload_bytes, &mut sink);
                    let frame = self.addresses.filter(|_addresses| ip.depth == 0);
                    sign(sink.events.get_mut(before..).unwrap_or_default(), frame, ip.hops_left);
                }
                Transport::Icmp(_) | Transport::Other(_) => {}
            }
            if let Some(ftp) = notes.ftp() {
                self.expected.note(reference.id, ftp);
            }
        }
        let shed = self.readers.on_read(slot, &mut stream.member, session.is_heavy());
        match first {
            Some(first) => flow.keep(first),
            None => flow.keep_on(),
        }
        if let Some(slot) = shed {
            self.shed_parser(at, slot, events);
        }
    }

    /// Too many flows are being read: this one is read no further.
    fn shed_parser(&mut self, at: Timestamp, slot: u32, events: &mut Vec<Event>) {
        let Some(flow) = self.table.flow_mut(slot) else { return };
        let reference = flow.reference();
        let Some(reading) = flow.reading().as_deref_mut() else { return };
        let Reading { session, notes, stream } = reading;
        self.readers.leave(slot, &mut stream.member);
        self.counters.count(Counter::ParsersShed);
        session.finish(&mut Sink { at, flow: reference, notes, counters: &mut self.counters, events });
        stream.release(&mut self.pool);
    }
}

/// Tells the messages that a datagram gave who brought them.
fn sign(events: &mut [Event], frame: Option<[[u8; 6]; 2]>, hops_left: u8) {
    for event in events {
        let Event::Flow { what, .. } = event else { continue };
        if let FlowEvent::Dns(dns) = what {
            (dns.frame, dns.hops_left) = (frame, hops_left);
        } else if let FlowEvent::Transaction(one) = what {
            if let Transaction::Dhcp(message) = &mut **one {
                message.frame = frame;
            } else if let Transaction::NameService(dns) = &mut **one {
                (dns.frame, dns.hops_left) = (frame, hops_left);
            }
        }
    }
}
