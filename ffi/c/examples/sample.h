/* What producer.c puts and consumer.c gets. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <stdint.h>

struct sample {
    uint64_t sequence;
    double celsius;
};

#endif
