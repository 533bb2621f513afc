/* SPDX-License-Identifier: MIT */
/* commands.h: what the command can do. Each returns an exit status and has said all there is to an error. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "machine.h"
#include "options.h"

int command_translate(const struct machine *m, const struct options *o);
int command_explain(const struct machine *m, const struct options *o);
int command_map(const struct machine *m, const struct options *o);
int command_capture(const struct machine *m, const struct options *o);

#endif
