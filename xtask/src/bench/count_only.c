/* The floor: every packet of a capture through libpcap, counted and nothing else. Compiled by `cargo xtask bench`. */
#include <pcap/pcap.h>
#include <stdio.h>

int main(int count, char **words) {
    char error[PCAP_ERRBUF_SIZE];
    pcap_t *capture = count == 2 ? pcap_open_offline(words[1], error) : NULL;
    if (capture == NULL) {
        fprintf(stderr, "count-only FILE: %s\n", count == 2 ? error : "one file");
        return 2;
    }
    struct pcap_pkthdr *header;
    const unsigned char *bytes;
    unsigned long long packets = 0, octets = 0;
    while (pcap_next_ex(capture, &header, &bytes) == 1) {
        packets += 1;
        octets += header->caplen;
    }
    pcap_close(capture);
    return printf("%llu packets, %llu bytes\n", packets, octets) < 0;
}
