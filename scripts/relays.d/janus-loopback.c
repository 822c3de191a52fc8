/*
 * Lets Janus serve on loopback: it offers no address of a loopback interface, and has no setting for it. Preloaded, this hides
 * all other interfaces from it, and says of 127.0.0.1 that it is an ordinary one.
 *
 *     cc -shared -fPIC -o loopback.so janus-loopback.c -ldl && LD_PRELOAD=./loopback.so janus
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stddef.h>
#include <sys/socket.h>

int getifaddrs(struct ifaddrs **list) {
    int (*real)(struct ifaddrs **) = dlsym(RTLD_NEXT, "getifaddrs");
    int result = real(list);
    if (result != 0) return result;
    for (struct ifaddrs *one = *list; one != NULL; one = one->ifa_next) {
        int loopback = (one->ifa_flags & IFF_LOOPBACK) != 0;
        if (loopback && one->ifa_addr != NULL && one->ifa_addr->sa_family == AF_INET) {
            one->ifa_flags &= ~(unsigned)IFF_LOOPBACK;
        } else {
            /* The entries are freed together, so none can be taken out; one without an address is passed over. */
            one->ifa_addr = NULL;
            one->ifa_flags = 0;
        }
    }
    return 0;
}
