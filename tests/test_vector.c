/* SPDX-License-Identifier: MIT */
/*
 * test_vector.c: the reader, the printer and the comparison of vectors (vector.h). Lines are written here with ' for
 * ". Most tests are a table of edits of one good line, and what becomes of it.
 */
#include <stdlib.h>

#include "suite.h"
#include "vector.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define ALL (~(uint64_t)0)

/* One line of each kind. The printer gives them back byte by byte. */
static const char *const good[] = {
	/* 32-bit; every field that a page fault has */
	"{'id':'kvm-32-000001','source':'kvm a204badd8432','profile':'kvm-intel','cpu':{'maxphyaddr':39,'features':"
	"['pse','pse36','pae','nx','pat','smep','smap','pku','la57','page1gb']},'regs':{'cr0':'0x80000001','cr3':'0x1000',"
	"'cr4':'0x0','efer':'0x800','rflags':'0x2','pkru':'0x6000702'},'mem':{'size':'0x100000','words':{'0x1d08':"
	"'0xf6800c8700000000'}},'access':{'va':'0xd0d82648','kind':'fetch','user':false,'implicit':false},'expect':"
	"{'outcome':'page-fault','error_code':'0x10','cr2':'0xd0d82648'},'mem_after':{}}",
	/* PAE, A/D updates */
	"{'id':'kvm-pae-000004','source':'kvm a204badd8432','profile':'kvm-amd','cpu':{'maxphyaddr':52,'features':"
	"['pse','pse36','pae','nx','pat','smep','smap','pku','la57']},'regs':{'cr0':'0x80010001','cr3':'0x1fa0','cr4':"
	"'0x200030','efer':'0x800','rflags':'0x2','pkru':'0x0'},'mem':{'size':'0x100000','words':{'0x1fa8':'0x2001',"
	"'0x20c8':'0x3007','0x3130':'0x6dc7f6ae47005'}},'access':{'va':'0x4322695a','kind':'fetch','user':true,"
	"'implicit':false},'expect':{'outcome':'translated','pa':'0x6dc7f6ae4795a'},'mem_after':{'0x20c8':'0x3027',"
	"'0x3130':'0x6dc7f6ae47025'}}",
	/* EPT */
	"{'id':'kvm-ept-000005','source':'kvm a204badd8432','profile':'kvm-intel','cpu':{'maxphyaddr':52,'features':"
	"['pse','nx']},'regs':{'cr0':'0x80000001','cr3':'0x2000','cr4':'0x401030','efer':'0xd00','rflags':'0x2','pkru':"
	"'0x0'},'stage2':{'kind':'ept','eptp':'0x101e','mbec':false,'features':['ept_2m','ept_ad']},'mem':{'size':"
	"'0x100000','words':{'0x1000':'0x3107','0x3000':'0x4007'}},'access':{'va':'0xfffb6f42f39554df','kind':'write',"
	"'user':true,'implicit':false},'expect':{'outcome':'ept-violation','exit_qualification':'0x83','gpa_page':"
	"'0xed3c0f0000'},'mem_after':{}}",
	/* NPT */
	"{'id':'kvm-npt-000002','source':'kvm a204badd8432','profile':'kvm-amd','cpu':{'maxphyaddr':46,'features':['pse']},"
	"'regs':{'cr0':'0x80010001','cr3':'0x2000','cr4':'0x700030','efer':'0xd00','rflags':'0x2','pkru':'0xc0c4880a'},"
	"'stage2':{'kind':'npt','ncr3':'0x1000','cr0':'0x80010001','cr4':'0x20','efer':'0x1d00','gmet':true},'mem':{'size':"
	"'0x100000','words':{'0x1000':'0x3027'}},'access':{'va':'0x1d0918a5f42d','kind':'write','user':true,'implicit':"
	"false},'expect':{'outcome':'npf','error_code':'0x200000007','gpa_page':'0x2'},'mem_after':{}}",
	/* what the measured ones lack: masks, PDPTEs, a stack reference, compatibility mode, every field of a translation */
	"{'id':'a','source':'rule AD-2','profile':'amd','cpu':{'maxphyaddr':32,'features':[]},'regs':{'cr0':'0x80000001',"
	"'cr3':'0x1000','cr4':'0x20','efer':'0x0','rflags':'0x2','pkru':'0xffffffff','cs_l':false},'pdpte':['0x1','0x2001',"
	"'0xffffffffffffffff','0x0'],'mem':{'size':'0x2000','words':{'0x0':'0x1','0x1ff8':'0xffffffffffffffff'}},'access':"
	"{'va':'0xffffffffffffffff','kind':'read','user':false,'implicit':true,'segment':'ss'},'expect':{'outcome':"
	"'page-fault','error_code':'0x5','error_code_mask':'0xfffffffffffffff7','cr2':'0xffffffffffffffff'},'mem_after':"
	"{'0x0':'0x21'},'mem_mask':{'0x0':'0xffffffffffffffdf','0x1ff8':'0x0'}}",
	"{'id':'b','source':'\u00fc \\\\ \\\"','profile':'intel','cpu':{'maxphyaddr':52,'features':['pks','hlat']},'regs':{"
	"'cr0':'0x1','cr3':'0x0','cr4':'0x0','efer':'0x0','rflags':'0x2','pkru':'0x0'},'mem':{'size':'0x0','words':{}},"
	"'access':{'va':'0x0','kind':'read','user':false,'implicit':false},'expect':{'outcome':'translated','pa':'0x0',"
	"'page_shift':12,'rights':'u-w-'},'mem_after':{}}",
	"{'id':'c','source':'s','profile':'intel','cpu':{'maxphyaddr':52,'features':[]},'regs':{'cr0':'0x1','cr3':'0x0',"
	"'cr4':'0x0','efer':'0x0','rflags':'0x2','pkru':'0x0'},'stage2':{'kind':'ept','eptp':'0x101e','mbec':true,"
	"'features':['exec_only','ept_2m','ept_1g','ept_ad','ept_5l','ept_advanced','ept_sss']},'mem':{'size':'0x0','words':"
	"{}},'access':{'va':'0x0','kind':'read','user':false,'implicit':false},'expect':{'outcome':'ept-violation',"
	"'exit_qualification':'0x1','exit_qualification_mask':'0x1','gpa':'0xfff'},'mem_after':{}}",
	"{'id':'d','source':'s','profile':'intel','cpu':{'maxphyaddr':52,'features':[]},'regs':{'cr0':'0x1','cr3':'0x0',"
	"'cr4':'0x0','efer':'0x0','rflags':'0x2','pkru':'0x0'},'mem':{'size':'0x0','words':{}},'access':{'va':'0x0','kind':"
	"'read','user':false,'implicit':false},'expect':{'outcome':'non-canonical','vector':12},'mem_after':{}}",
};

/* The line that the tables edit. */
static const char base[] =
	"{'id':'base','source':'rule X-1','note':'n','rules':['X-1'],'profile':'intel','cpu':{'maxphyaddr':40,'features':"
	"['pse','nx']},'regs':{'cr0':'0x80000001','cr3':'0x1000','cr4':'0x20','efer':'0xd00','rflags':'0x2','pkru':'0x0'},"
	"'stage2':{'kind':'ept','eptp':'0x101e','mbec':false,'features':['ept_2m']},"
	"'mem':{'size':'0x2000','words':{'0x1000':'0x3107'}},"
	"'access':{'va':'0x1234','kind':'read','user':true,'implicit':false},"
	"'expect':{'outcome':'translated','pa':'0x5234'},'mem_after':{'0x1000':'0x3127'}}";

static struct vector v, again;
static struct case_answer answer;
static char reason[256];

static void quotes(char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			*text = '"';
}

/* A line with its first `from` replaced, in a buffer of its own. */
static char *edited(const char *line, const char *from, const char *to)
{
	const char *at = strstr(line, from);
	size_t before = at ? (size_t)(at - line) : 0, size = strlen(line) + strlen(to) + 1;
	char *text = malloc(size);

	cr_assert(at && text, "the line has no %s", from);
	snprintf(text, size, "%.*s%s%s", (int)before, line, to, at + strlen(from));
	quotes(text);
	return text;
}

static enum vector_result parse(const char *line)
{
	return vector_parse(line, strlen(line), &v, reason, sizeof(reason));
}

/* Parses base with an edit. */
static enum vector_result parse_edited(const char *from, const char *to)
{
	char *line = edited(base, from, to);
	enum vector_result result = parse(line);

	free(line);
	return result;
}

static const char *const result_names[] = { "OK", "SKIP", "BAD" };

struct edit {
	const char *from, *to;
	enum vector_result result;
	const char *reason; /* a part of it */
};

static void check_edits(const struct edit *edits, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct edit *e = &edits[i];
		enum vector_result result = parse_edited(e->from, e->to);

		cr_expect(result == e->result && strstr(reason, e->reason), "%s -> %s => %s \"%s\", expected %s \"%s\"",
			  e->from, e->to, result_names[result], reason, result_names[e->result], e->reason);
	}
}

/* The answer that an expectation expects. */
static void answer_as_expected(const struct vector_expect *e, unsigned words)
{
	memset(&answer, 0, sizeof(answer));
	answer.outcome = e->outcome;
	answer.pa = e->pa;
	answer.page_shift = e->page_shift;
	answer.rights = e->rights;
	answer.vector = e->vector;
	answer.error_code = e->error_code;
	answer.cr2 = e->cr2;
	answer.exit_qualification = e->exit_qualification;
	answer.gpa = e->have & VECTOR_GPA ? e->gpa : e->gpa_page << 12;
	memcpy(answer.value, e->value, words * sizeof(*answer.value));
}

Test(vector, good_lines_print_as_they_were)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		char *line = edited(good[i], "", ""), *printed = NULL;
		enum vector_result result = parse(line);
		size_t size;
		FILE *out = open_memstream(&printed, &size);

		cr_assert(out, "no memory");
		cr_expect(result == VECTOR_OK && !*reason, "%s => %s %s", line, result_names[result], reason);
		cr_expect(!vector_print_expect(out, v.id, v.source, &v.question, &v.expect, NULL, NULL), "%s", line);
		fclose(out);
		cr_expect(size == strlen(line) + 1 && !strncmp(printed, line, size - 1) && printed[size - 1] == '\n',
			  "%s => %s", line, printed);
		free(printed);
		free(line);
	}
}

Test(vector, fields_of_a_line)
{
	const struct case_question *q = &v.question;
	const struct vector_expect *e = &v.expect;
	char *line = edited(good[4], "", "");

	cr_assert_eq(parse(line), VECTOR_OK, "%s", reason);
	free(line);
	cr_assert_str_eq(v.id, "a", "id");
	cr_assert_str_eq(v.source, "rule AD-2", "source");
	cr_assert(q->profile == CASE_AMD && q->maxphyaddr == 32 && q->features == 0 && q->knobs == 0, "cpu");
	cr_assert(q->cr0 == 0x80000001 && q->cr3 == 0x1000 && q->cr4 == 0x20 && q->efer == 0 && q->rflags == 2, "regs");
	cr_assert(q->pkru == 0xffffffff && q->compatibility, "pkru, cs_l");
	cr_assert(q->has_pdpte && q->pdpte[0] == 1 && q->pdpte[1] == 0x2001 && q->pdpte[2] == ALL && !q->pdpte[3], "pdpte");
	cr_assert(q->stage2 == CASE_ONE_DIMENSION, "stage2");
	cr_assert(q->va == ALL && q->access == CASE_READ && !q->user && q->implicit && q->stack, "access");
	cr_assert(q->memory.size == 0x2000 && q->memory.count == 2, "memory");
	cr_assert(case_find(&q->memory, 0) == 0 && case_find(&q->memory, 0x1ff8) == 1, "addresses");
	cr_assert(q->memory.value[0] == 1 && q->memory.value[1] == ALL, "values");
	cr_assert(e->outcome == CASE_PAGE_FAULT && e->have == (VECTOR_ERROR_CODE | VECTOR_CR2), "expect");
	cr_assert(e->error_code == 5 && e->error_code_mask == (ALL ^ 8) && e->cr2 == ALL, "expect");
	cr_assert(e->value[0] == 0x21 && e->mask[0] == (ALL ^ 0x20), "mem_after");
	cr_assert(e->value[1] == ALL && e->mask[1] == 0, "mem_mask without mem_after: what it was");

	line = edited(good[2], "'mbec':false", "'mbec':true");
	cr_assert_eq(parse(line), VECTOR_OK, "%s", reason);
	free(line);
	cr_assert(q->profile == CASE_KVM_INTEL && q->features == (CASE_PSE | CASE_NX), "cpu");
	cr_assert(q->stage2 == CASE_EPT && q->eptp == 0x101e && q->mbec, "EPT");
	cr_assert(q->ept_features == (CASE_EPT_2M | CASE_EPT_AD), "EPT features");
	cr_assert(!q->has_pdpte && !q->compatibility && !q->stack && q->access == CASE_WRITE && q->user, "access");
	cr_assert(e->have == (VECTOR_EXIT_QUALIFICATION | VECTOR_GPA_PAGE) && e->exit_qualification_mask == ALL, "expect");
	cr_assert(e->gpa_page == 0xed3c0f0000, "gpa_page");

	line = edited(good[3], "", "");
	cr_assert_eq(parse(line), VECTOR_OK, "%s", reason);
	free(line);
	cr_assert(q->stage2 == CASE_NPT && q->ncr3 == 0x1000 && q->hcr0 == 0x80010001, "NPT");
	cr_assert(q->hcr4 == 0x20 && q->hefer == 0x1d00 && q->gmet && q->profile == CASE_KVM_AMD, "NPT");

	line = edited(good[5], "", "");
	cr_assert_eq(parse(line), VECTOR_OK, "%s", reason);
	free(line);
	cr_assert(e->page_shift == 12 && e->rights == (CASE_U | CASE_W) && e->pa == 0, "translated");
	cr_assert(e->have == (VECTOR_PA | VECTOR_PAGE_SHIFT | VECTOR_RIGHTS), "translated");
	cr_assert_str_eq(v.source, "\xc3\xbc \\ \"", "source");
}

Test(vector, accepted)
{
	static const struct edit edits[] = {
		{ "{'id'", " {\t'id'", VECTOR_OK, "" },
		{ "'0x3127'}}", "'0x3127'}}\r\n", VECTOR_OK, "" },
		{ "'note':'n','rules':['X-1'],", "", VECTOR_OK, "" },
		{ "['X-1']", "'X-1'", VECTOR_OK, "" },
		{ "'pse','nx'", "'nx','nx'", VECTOR_OK, "" },
		{ "'0x80000001'", "'0x000000008000000A'", VECTOR_OK, "" },
		{ "'maxphyaddr':40", "'maxphyaddr':255", VECTOR_OK, "" },
		{ "'pkru':'0x0'", "'pkru':'0x0','cs_l':true", VECTOR_OK, "" },
		{ "'implicit':false", "'implicit':false,'segment':'es'", VECTOR_OK, "" },
		{ "'implicit':false", "'implicit':false,'segment':'ds','shadow_stack':false", VECTOR_OK, "" },
		{ ",'mem_after':{'0x1000':'0x3127'}", "", VECTOR_OK, "" },
		{ "'0x1000':'0x3127'", "'0x1ff8':'0x1'", VECTOR_OK, "" },
		{ "'pa':'0x5234'", "'error_code_mask':'0xf'", VECTOR_OK, "" },
		{ ",'pa':'0x5234'", "", VECTOR_OK, "" },
		{ "'translated','pa':'0x5234'", "'no-memory'", VECTOR_OK, "" },
		{ "'translated','pa':'0x5234'", "'pdpte-fault','vector':13", VECTOR_OK, "" },
		{ "'translated','pa':'0x5234'", "'ept-misconfig','gpa':'0x1fff','gpa_page':'0x1'", VECTOR_OK, "" },
		/* a feature that is not in use */
		{ "'pse','nx'", "'pks','lam','lass','cet_ss','uai','hlat','page1gb'", VECTOR_OK, "" },
		{ "'ept_2m'", "'ept_sss','ept_5l'", VECTOR_OK, "" },
		/* without the feature, these are reserved bits */
		{ "'cr3':'0x1000'", "'cr3':'0x6000000000001000'", VECTOR_OK, "" },
	};

	check_edits(edits, COUNT(edits));
}

Test(vector, missing_keys)
{
	static const struct edit edits[] = {
		{ "'id':'base',", "", VECTOR_BAD, "id: missing" },
		{ "'source':'rule X-1',", "", VECTOR_BAD, "source: missing" },
		{ "'profile':'intel',", "", VECTOR_BAD, "profile: missing" },
		{ "'cpu':{'maxphyaddr':40,'features':['pse','nx']},", "", VECTOR_BAD, "cpu: missing" },
		{ "'maxphyaddr':40,", "", VECTOR_BAD, "cpu.maxphyaddr: missing" },
		{ ",'features':['pse','nx']", "", VECTOR_BAD, "cpu.features: missing" },
		{ "'cr0':'0x80000001',", "", VECTOR_BAD, "regs.cr0: missing" },
		{ "'cr3':'0x1000',", "", VECTOR_BAD, "regs.cr3: missing" },
		{ "'cr4':'0x20',", "", VECTOR_BAD, "regs.cr4: missing" },
		{ "'efer':'0xd00',", "", VECTOR_BAD, "regs.efer: missing" },
		{ "'rflags':'0x2',", "", VECTOR_BAD, "regs.rflags: missing" },
		{ ",'pkru':'0x0'", "", VECTOR_BAD, "regs.pkru: missing" },
		{ "'kind':'ept',", "", VECTOR_BAD, "stage2.kind: missing" },
		{ "'eptp':'0x101e',", "", VECTOR_BAD, "stage2.eptp: missing" },
		{ "'mbec':false,", "", VECTOR_BAD, "stage2.mbec: missing" },
		{ ",'features':['ept_2m']", "", VECTOR_BAD, "stage2.features: missing" },
		{ "'ept','eptp':'0x101e','mbec':false,'features':['ept_2m']", "'npt'", VECTOR_BAD, "stage2.ncr3: missing" },
		{ "'size':'0x2000',", "", VECTOR_BAD, "mem.size: missing" },
		{ ",'words':{'0x1000':'0x3107'}", "", VECTOR_BAD, "mem.words: missing" },
		{ "'va':'0x1234',", "", VECTOR_BAD, "access.va: missing" },
		{ "'kind':'read',", "", VECTOR_BAD, "access.kind: missing" },
		{ "'user':true,", "", VECTOR_BAD, "access.user: missing" },
		{ ",'implicit':false", "", VECTOR_BAD, "access.implicit: missing" },
		{ "'outcome':'translated',", "", VECTOR_BAD, "expect.outcome: missing" },
		{ base, "{}", VECTOR_BAD, "id: missing" },
	};

	check_edits(edits, COUNT(edits));
}

Test(vector, malformed)
{
	static const struct edit edits[] = {
		/* not JSON, or not one object */
		{ base, "", VECTOR_BAD, "not JSON" },
		{ base, " ", VECTOR_BAD, "not JSON" },
		{ base, "null", VECTOR_BAD, "not JSON" },
		{ base, "'base'", VECTOR_BAD, "not JSON" },
		{ base, "[]", VECTOR_BAD, "not an object" },
		{ "'0x3127'}}", "'0x3127'}} {}", VECTOR_BAD, "not JSON" },
		{ "'0x3127'}}", "'0x3127'}},", VECTOR_BAD, "not JSON" },
		{ "{'id'", "\xef\xbb\xbf{'id'", VECTOR_BAD, "not JSON" },
		{ "'note':'n'", "'note':'\xff'", VECTOR_BAD, "not JSON" },
		{ "'note':'n'", "'note':'\xed\xa0\x80'", VECTOR_BAD, "not JSON" },
		{ "'note':'n'", "'note':'\\u0000'", VECTOR_BAD, "not JSON" },
		{ "'note':'n'", "'note':'\n'", VECTOR_BAD, "not JSON" },
		{ "'note':'n'", "'note':NaN", VECTOR_BAD, "not JSON" },
		{ "'note':'n'", "'note':'n','note':'n'", VECTOR_BAD, "duplicate" },
		{ "'cr0':'0x80000001'", "'cr0':'0x0','cr0':'0x0'", VECTOR_BAD, "duplicate" },
		{ "'0x1000':'0x3107'", "'0x1000':'0x0','0x1000':'0x0'", VECTOR_BAD, "duplicate" },
		{ "'maxphyaddr':40", "'maxphyaddr':99999999999999999999", VECTOR_BAD, "not JSON" },
		{ "'maxphyaddr':40", "'maxphyaddr':1e999", VECTOR_BAD, "not JSON" },
		/* types */
		{ "'id':'base'", "'id':1", VECTOR_BAD, "id: not a string" },
		{ "'note':'n'", "'note':[]", VECTOR_BAD, "note: not a string" },
		{ "'rules':['X-1']", "'rules':[1]", VECTOR_BAD, "rules: not an array of strings" },
		{ "'rules':['X-1']", "'rules':{}", VECTOR_BAD, "rules: not an array of strings" },
		{ "'profile':'intel'", "'profile':null", VECTOR_BAD, "profile: not a string" },
		{ "'cpu':{'maxphyaddr':40,'features':['pse','nx']}", "'cpu':40", VECTOR_BAD, "cpu: not an object" },
		{ "'features':['pse','nx']", "'features':'pse'", VECTOR_BAD, "cpu.features: not an array" },
		{ "'features':['pse','nx']", "'features':{'pse':1}", VECTOR_BAD, "cpu.features: not an array" },
		{ "'pse','nx'", "'pse',1", VECTOR_BAD, "cpu.features: not an array of strings" },
		{ "'mbec':false", "'mbec':0", VECTOR_BAD, "stage2.mbec: not true or false" },
		{ "'kind':'ept'", "'kind':true", VECTOR_BAD, "stage2.kind: not a string" },
		{ "'stage2':{", "'stage2':'ept','x':{", VECTOR_BAD, "stage2: not an object" },
		{ "'stage2':{", "'stage2':null,'x':{", VECTOR_BAD, "stage2: not an object" },
		{ "{'0x1000':'0x3107'}", "[]", VECTOR_BAD, "mem.words: not an object" },
		{ "'user':true", "'user':'true'", VECTOR_BAD, "access.user: not true or false" },
		{ "'implicit':false", "'implicit':null", VECTOR_BAD, "access.implicit: not true or false" },
		{ "'outcome':'translated'", "'outcome':0", VECTOR_BAD, "expect.outcome: not a string" },
		{ "{'0x1000':'0x3127'}", "[]", VECTOR_BAD, "mem_after: not an object" },
		{ "'mem_after'", "'mem_mask':1,'mem_after'", VECTOR_BAD, "mem_mask: not an object" },
		{ "'implicit':false", "'implicit':false,'segment':1", VECTOR_BAD, "access.segment: not a string" },
		{ "'implicit':false", "'implicit':false,'segment':'xs'", VECTOR_BAD, "access.segment: not a segment" },
		{ "'kind':'read'", "'kind':'exec'", VECTOR_BAD, "access.kind: not read, write or fetch" },
		/* numbers */
		{ "'0x80000001'", "1", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'0x80000001'", "'80000001'", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'0x80000001'", "'0x'", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'0x80000001'", "''", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'0x80000001'", "'0X1'", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'0x80000001'", "'-0x1'", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'0x80000001'", "' 0x1'", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'0x80000001'", "'0x1 '", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'0x80000001'", "'0x1g'", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'0x80000001'", "'0x00000000000000001'", VECTOR_BAD, "regs.cr0: not a string of 0x" },
		{ "'pkru':'0x0'", "'pkru':'0x100000000'", VECTOR_BAD, "regs.pkru: over 0xffffffff" },
		{ "'pkru':'0x0'", "'pkru':'0x0','pkrs':1", VECTOR_BAD, "regs.pkrs: not a string of 0x" },
		{ "'maxphyaddr':40", "'maxphyaddr':'40'", VECTOR_BAD, "cpu.maxphyaddr: not an integer from 32 to 255" },
		{ "'maxphyaddr':40", "'maxphyaddr':40.0", VECTOR_BAD, "cpu.maxphyaddr: not an integer" },
		{ "'maxphyaddr':40", "'maxphyaddr':-40", VECTOR_BAD, "cpu.maxphyaddr: not an integer" },
		{ "'maxphyaddr':40", "'maxphyaddr':31", VECTOR_BAD, "cpu.maxphyaddr: not an integer" },
		{ "'maxphyaddr':40", "'maxphyaddr':256", VECTOR_BAD, "cpu.maxphyaddr: not an integer" },
		{ "'pa':'0x5234'", "'page_shift':'0xc'", VECTOR_BAD, "expect.page_shift: not an integer from 0 to 63" },
		{ "'pa':'0x5234'", "'page_shift':64", VECTOR_BAD, "expect.page_shift: not an integer" },
		{ "'pa':'0x5234'", "'vector':14", VECTOR_BAD, "expect.vector: not an integer from 12 to 13" },
		{ "'pa':'0x5234'", "'rights':'urwX'", VECTOR_BAD, "expect.rights: not four characters" },
		{ "'pa':'0x5234'", "'rights':'urw'", VECTOR_BAD, "expect.rights: not four characters" },
		{ "'pa':'0x5234'", "'rights':'xwru'", VECTOR_BAD, "expect.rights: not four characters" },
		{ "'pa':'0x5234'", "'gpa_page':'0x10000000000000'", VECTOR_BAD, "expect.gpa_page: over 0xfffffffffffff" },
		/* PDPTEs */
		{ "'stage2'", "'pdpte':{},'stage2'", VECTOR_BAD, "pdpte: not an array" },
		{ "'stage2'", "'pdpte':[],'stage2'", VECTOR_BAD, "pdpte: not four registers" },
		{ "'stage2'", "'pdpte':['0x0','0x0','0x0'],'stage2'", VECTOR_BAD, "pdpte: not four registers" },
		{ "'stage2'", "'pdpte':['0x0','0x0','0x0','0x0','0x0'],'stage2'", VECTOR_BAD, "pdpte: not four registers" },
		{ "'stage2'", "'pdpte':['0x0','0x0','0x0',0],'stage2'", VECTOR_BAD, "pdpte: not strings of 0x" },
		/* words */
		{ "'0x1000':'0x3107'", "'0x1004':'0x3107'", VECTOR_BAD, "mem.words: 0x1004: the address is no multiple of 8" },
		{ "'0x1000':'0x3107'", "'0x2000':'0x3107'", VECTOR_BAD, "mem.words: 0x2000: the word is not below mem.size" },
		{ "'0x1000':'0x3107'", "'0xfffffffffffffff8':'0x0'", VECTOR_BAD, "the word is not below mem.size" },
		{ "'size':'0x2000'", "'size':'0x1007'", VECTOR_BAD, "mem.words: 0x1000: the word is not below mem.size" },
		{ "'size':'0x2000'", "'size':'0x0'", VECTOR_BAD, "the word is not below mem.size" },
		{ "'0x1000':'0x3107'", "'1000':'0x3107'", VECTOR_BAD, "mem.words: 1000: the address is not 0x" },
		{ "'0x1000':'0x3107'", "'':'0x3107'", VECTOR_BAD, "the address is not 0x" },
		{ "'0x1000':'0x3107'", "'0x1000':1", VECTOR_BAD, "mem.words: 0x1000: not a string of 0x" },
		{ "'0x1000':'0x3107'", "'0x8':'0x0','0x08':'0x0'", VECTOR_BAD, "mem.words: 0x08: twice" },
		{ "'0x1000':'0x3127'", "'0x8':'0x0','0x08':'0x0'", VECTOR_BAD, "mem_after: 0x08: twice" },
		{ "'0x1000':'0x3127'", "'0x1001':'0x0'", VECTOR_BAD, "mem_after: 0x1001: the address is no multiple of 8" },
		{ "'0x1000':'0x3127'", "'0x2000':'0x0'", VECTOR_BAD, "mem_after: 0x2000: the word is not below mem.size" },
		{ "'mem_after'", "'mem_mask':{'0x2000':'0x0'},'mem_after'", VECTOR_BAD, "mem_mask: 0x2000: the word is not" },
		/* texts: one line, and not too long */
		{ "'id':'base'", "'id':''", VECTOR_BAD, "id: not 1 to 127 bytes" },
		{ "'id':'base'", "'id':'a\\nb'", VECTOR_BAD, "id: not 1 to 127 bytes" },
		{ "'source':'rule X-1'", "'source':''", VECTOR_BAD, "source: not 1 to 255 bytes" },
		/* BAD goes before SKIP, wherever it stands */
		{ "'profile':'intel'", "'profile':'via','pdpte':1", VECTOR_BAD, "pdpte: not an array" },
		{ "'note':'n'", "'x':1,'pdpte':[1]", VECTOR_BAD, "pdpte: not four registers" },
		/* what the line says is in the reason, but harmless */
		{ "'0x1000':'0x3107'", "'\\n\\u001b[1m\xc3\xbc':'0x0'", VECTOR_BAD, "mem.words: ??[1m??: the address" },
	};

	check_edits(edits, COUNT(edits));
}

Test(vector, unknown)
{
	static const struct edit edits[] = {
		{ "'note':'n'", "'notes':'n'", VECTOR_SKIP, "notes: unknown key" },
		{ "'note':'n'", "'':'n'", VECTOR_SKIP, ": unknown key" },
		{ "'maxphyaddr':40", "'maxphyaddr':40,'guest':1", VECTOR_SKIP, "cpu.guest: unknown key" },
		{ "'cr4':'0x20'", "'cr4':'0x20','cr8':'0x0'", VECTOR_SKIP, "regs.cr8: unknown key" },
		{ "'mbec':false", "'mbec':false,'gmet':true", VECTOR_SKIP, "stage2.gmet: unknown key" },
		{ "'size':'0x2000'", "'size':'0x2000','base':'0x0'", VECTOR_SKIP, "mem.base: unknown key" },
		{ "'user':true", "'user':true,'cpl':3", VECTOR_SKIP, "access.cpl: unknown key" },
		{ "'pa':'0x5234'", "'pa':'0x5234','level':1", VECTOR_SKIP, "expect.level: unknown key" },
		{ "'pse','nx'", "'pse','sme'", VECTOR_SKIP, "cpu.features: unknown feature sme" },
		{ "'pse','nx'", "'PSE'", VECTOR_SKIP, "cpu.features: unknown feature PSE" },
		{ "'ept_2m'", "'ept_4m'", VECTOR_SKIP, "stage2.features: unknown feature ept_4m" },
		{ "'profile':'intel'", "'profile':'zhaoxin'", VECTOR_SKIP, "profile: unknown zhaoxin" },
		{ "'kind':'ept'", "'kind':'riscv'", VECTOR_SKIP, "stage2.kind: unknown riscv" },
		{ "'outcome':'translated'", "'outcome':'lost'", VECTOR_SKIP, "expect.outcome: unknown lost" },
		/* a field that this outcome does not have */
		{ "'pa':'0x5234'", "'cr2':'0x1234'", VECTOR_SKIP, "expect.cr2: unknown for the outcome translated" },
		{ "'pa':'0x5234'", "'gpa_page':'0x1'", VECTOR_SKIP, "expect.gpa_page: unknown for the outcome translated" },
		{ "'outcome':'translated'", "'outcome':'page-fault'", VECTOR_SKIP, "expect.pa: unknown for the outcome" },
		{ "'outcome':'translated'", "'outcome':'no-memory'", VECTOR_SKIP, "expect.pa: unknown for the outcome" },
	};

	check_edits(edits, COUNT(edits));
}

/* Whoever implements one moves its line to the table of the accepted ones. */
Test(vector, not_implemented_yet)
{
	static const char npt[] = "'ept','eptp':'0x101e','mbec':false,'features':['ept_2m']";
#define NPT "'npt','ncr3':'0x0','cr0':'0x0','cr4':'0x0','efer':'0x0','gmet':false,"
	static const struct edit edits[] = {
		{ "'pkru':'0x0'", "'pkru':'0x0','pkrs':'0x0'", VECTOR_SKIP, "regs.pkrs: not implemented yet" },
		{ "'pkru':'0x0'", "'pkru':'0x0','pat':'0x0'", VECTOR_SKIP, "regs.pat: not implemented yet" },
		{ "'pkru':'0x0'", "'pkru':'0x0','hlatp':'0x0'", VECTOR_SKIP, "regs.hlatp: not implemented yet" },
		{ "'pkru':'0x0'", "'pkru':'0x0','hlat_prefix':0", VECTOR_SKIP, "regs.hlat_prefix: not implemented yet" },
		{ "'size':'0x2000'", "'size':'0x2000','mtrr':'WB'", VECTOR_SKIP, "mem.mtrr: not implemented yet" },
		{ "'pa':'0x5234'", "'memtype':6", VECTOR_SKIP, "expect.memtype: not implemented yet" },
		{ "'user':true", "'user':true,'shadow_stack':true", VECTOR_SKIP, "access.shadow_stack: not implemented yet" },
		{ npt, NPT "'rogpt':true", VECTOR_SKIP, "stage2.rogpt: not implemented yet" },
		{ npt, NPT "'sss':true", VECTOR_SKIP, "stage2.sss: not implemented yet" },
		{ npt, NPT "'sss':false,'rogpt':false", VECTOR_OK, "" },
		{ "'cr4':'0x20'", "'cr4':'0x800020'", VECTOR_SKIP, "regs.cr4: CET: not implemented yet" },
		{ "'cr4':'0x20'", "'cr4':'0x1000020'", VECTOR_SKIP, "regs.cr4: PKS: not implemented yet" },
		{ "'cr4':'0x20'", "'cr4':'0x8000020'", VECTOR_SKIP, "regs.cr4: LASS: not implemented yet" },
		{ "'cr4':'0x20'", "'cr4':'0x10000020'", VECTOR_SKIP, "regs.cr4: LAM: not implemented yet" },
		{ "'nx']},'regs':{'cr0':'0x80000001','cr3':'0x1000'", "'lam']},'regs':{'cr0':'0x80000001','cr3':"
		  "'0x2000000000001000'", VECTOR_SKIP, "regs.cr3: LAM: not implemented yet" },
		{ "'efer':'0xd00'", "'efer':'0x100d00'", VECTOR_SKIP, "regs.efer: UAI: not implemented yet" },
		{ "'eptp':'0x101e'", "'eptp':'0x109e'", VECTOR_SKIP, "stage2.eptp: SSS: not implemented yet" },
		{ "'ept_2m'", "'ept_pw'", VECTOR_SKIP, "stage2.features: ept_pw: not implemented yet" },
		{ "'ept_2m'", "'ept_vpw'", VECTOR_SKIP, "stage2.features: ept_vpw: not implemented yet" },
		{ "'ept_2m'", "'spp'", VECTOR_SKIP, "stage2.features: spp: not implemented yet" },
		{ "'outcome':'translated'", "'outcome':'lass'", VECTOR_SKIP, "expect.outcome: unknown lass" },
	};
#undef NPT

	check_edits(edits, COUNT(edits));
	/* The id of a skipped case can be told. */
	cr_assert_eq(parse_edited("'ept_2m'", "'spp'"), VECTOR_SKIP, "%s", reason);
	cr_assert_str_eq(v.id, "base", "id");
}

Test(vector, every_prefix_is_bad)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		char *line = edited(good[i], "", "");

		for (size_t length = 0; length < strlen(line); length++) {
			/* a copy that ends there, so that a checker sees every byte read too many */
			char *prefix = malloc(length + 1);

			cr_assert(prefix, "no memory");
			prefix = realloc(memcpy(prefix, line, length), length ? length : 1);
			enum vector_result result = vector_parse(prefix, length, &v, reason, sizeof(reason));

			cr_expect(result == VECTOR_BAD && strstr(reason, "not JSON"), "%.*s => %s %s", (int)length, line,
				  result_names[result], reason);
			free(prefix);
		}
		free(line);
	}
}

/* Whatever stands at whatever place: an answer, and a reason that is one printable line. */
Test(vector, every_byte_changed)
{
	static const char bytes[] = { '\0', '\n', '"', '\\', '{', '}', '[', ']', ',', ':', '-', '9', 'e', 'x', '\x80' };
	unsigned results[3] = { 0 };

	for (size_t i = 0; i < COUNT(good); i++) {
		char *line = edited(good[i], "", "");
		size_t length = strlen(line);

		for (size_t at = 0; at < length; at++) {
			char kept = line[at];

			for (size_t b = 0; b < COUNT(bytes); b++) {
				line[at] = bytes[b];
				enum vector_result result = vector_parse(line, length, &v, reason, sizeof(reason));

				results[result]++;
				cr_expect((result == VECTOR_OK) == !*reason && strspn(reason,
					  " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
					  "abcdefghijklmnopqrstuvwxyz{|}~") == strlen(reason),
					  "byte %zu of line %zu as %#x => %s %s", at, i, (unsigned char)bytes[b],
					  result_names[result], reason);
			}
			line[at] = kept;
		}
		free(line);
	}
	cr_expect(results[0] > 1000 && results[1] > 1000 && results[2] > 10000, "%u OK, %u SKIP, %u BAD", results[0],
		  results[1], results[2]);
}

Test(vector, hostile)
{
	enum { SIZE = 1 << 20 };
	char *line = malloc(SIZE), word[64], id[160];

	cr_assert(line, "no memory");
	/* nesting as deep as a line is long */
	for (int object = 0; object < 2; object++) {
		for (size_t at = 0; at + 5 < SIZE; at += 5)
			memcpy(line + at, object ? "{\"a\":" : "[[[[[", 5);
		cr_expect(vector_parse(line, SIZE / 5 * 5, &v, reason, sizeof(reason)) == VECTOR_BAD, "nesting");
	}
	/* nothing but one kind of byte */
	for (int byte = 0; byte < 256; byte++) {
		memset(line, byte, 4096);
		cr_expect(vector_parse(line, 4096, &v, reason, sizeof(reason)) == VECTOR_BAD && *reason, "bytes %d", byte);
	}
	free(line);

	/* an object that is not read may hold anything */
	cr_expect(parse_edited("'note':'n'", "'x':[[[[{'y':[1e300,-5,null]}]]]]") == VECTOR_SKIP, "%s", reason);

	/* a NUL after a line; every_byte_changed has those in it */
	line = edited(base, "", "");
	cr_expect(vector_parse(line, strlen(line) + 1, &v, reason, sizeof(reason)) == VECTOR_BAD, "NUL after");
	free(line);

	/* 512 words are the most that a case holds, one that only mem_after has included */
	for (int count = CASE_MAX_WORDS - 1; count <= CASE_MAX_WORDS + 1; count++) {
		for (int appears = 0; appears <= 1; appears++) {
			enum vector_result expected = count + appears <= CASE_MAX_WORDS ? VECTOR_OK : VECTOR_BAD;
			char *words = calloc(1, 64 * (size_t)count), *with_words;

			cr_assert(words, "no memory");
			for (int i = 0; i < count; i++) {
				snprintf(word, sizeof(word), "%s'0x%x':'0x%x'", i ? "," : "", i * 8, i);
				strcat(words, word);
			}
			with_words = edited(base, "'0x1000':'0x3107'", words);
			line = edited(with_words, "\"0x1000\":\"0x3127\"", appears ? "'0x1ff8':'0x1'" : "'0x8':'0x2'");
			cr_expect(parse(line) == expected, "%d + %d words: %s", count, appears, reason);
			cr_expect(expected == VECTOR_OK || strstr(reason, ": more than 512 words"), "%s", reason);
			free(words);
			free(with_words);
			free(line);
		}
	}

	/* an id of 127 bytes fits, one of 128 does not */
	for (int length = 127; length <= 128; length++) {
		snprintf(id, sizeof(id), "'id':'%0*d'", length, 7);
		cr_expect(parse_edited("'id':'base'", id) == (length < 128 ? VECTOR_OK : VECTOR_BAD), "%d: %s", length, reason);
	}

	/* the reason's room is kept to */
	line = edited(base, "'id':'base',", "");
	memset(reason, 'x', sizeof(reason));
	cr_expect(vector_parse(line, strlen(line), &v, NULL, 0) == VECTOR_BAD, "no room");
	cr_expect(vector_parse(line, strlen(line), &v, reason, 1) == VECTOR_BAD && !reason[0] && reason[1] == 'x', "1 byte");
	cr_expect(vector_parse(line, strlen(line), &v, reason, 5) == VECTOR_BAD && !strcmp(reason, "id: "), "5 bytes");
	cr_expect(reason[5] == 'x', "5 bytes");
	free(line);
}

/* One change of the expected answer, and the difference that it makes. */
Test(vector, differences)
{
	static const struct {
		int line;             /* of good[] */
		size_t offset, size;  /* the field of the answer */
		uint64_t value;
		const char *difference; /* NULL: it still matches */
	} changes[] = {
#define FIELD(name) offsetof(struct case_answer, name), sizeof(((struct case_answer *)0)->name)
#define WORD(i) offsetof(struct case_answer, value) + (i) * sizeof(uint64_t), sizeof(uint64_t)
		{ 0, FIELD(outcome), CASE_TRANSLATED, "outcome got translated, expected page-fault" },
		{ 0, FIELD(outcome), CASE_BAD_STATE, "outcome got bad-state, expected page-fault" },
		{ 0, FIELD(error_code), 0x11, "error_code got 0x11, expected 0x10" },
		{ 0, FIELD(cr2), 0, "cr2 got 0x0, expected 0xd0d82648" },
		{ 0, WORD(0), 1, "mem[0x1d08] got 0x1, expected 0xf6800c8700000000" },
		{ 0, FIELD(pa), 1, NULL },
		{ 1, FIELD(outcome), CASE_PAGE_FAULT, "outcome got page-fault, expected translated" },
		{ 1, FIELD(pa), ALL, "pa got 0xffffffffffffffff, expected 0x6dc7f6ae4795a" },
		{ 1, FIELD(page_shift), 21, NULL },
		{ 1, FIELD(rights), CASE_R, NULL },
		{ 1, WORD(0), 0x2021, "mem[0x1fa8] got 0x2021, expected 0x2001" },
		{ 1, WORD(1), 0x3007, "mem[0x20c8] got 0x3007, expected 0x3027" },
		{ 1, WORD(3), 1, NULL }, /* no word of the case */
		{ 2, FIELD(exit_qualification), 0x183, "exit_qualification got 0x183, expected 0x83" },
		{ 2, FIELD(gpa), 0xed3c0f0000fff, NULL },
		{ 2, FIELD(gpa), 0xed3c0f0001000, "gpa_page got 0xed3c0f0001, expected 0xed3c0f0000" },
		{ 3, FIELD(error_code), 0x100000007, "error_code got 0x100000007, expected 0x200000007" },
		{ 3, FIELD(gpa), 0, "gpa_page got 0x0, expected 0x2" },
		{ 4, FIELD(error_code), 0xd, NULL },
		{ 4, FIELD(error_code), 0x4, "error_code got 0x4, expected 0x5 in the bits 0xfffffffffffffff7" },
		{ 4, WORD(0), 0x1, NULL },
		{ 4, WORD(0), 0x61, "mem[0x0] got 0x61, expected 0x21 in the bits 0xffffffffffffffdf" },
		{ 4, WORD(1), 0, NULL },
		{ 5, FIELD(page_shift), 21, "page_shift got 21, expected 12" },
		{ 5, FIELD(rights), CASE_R | CASE_W | CASE_X, "rights got -rwx, expected u-w-" },
		{ 6, FIELD(exit_qualification), 0x83, NULL },
		{ 6, FIELD(exit_qualification), 0x2, "exit_qualification got 0x2, expected 0x1 in the bits 0x1" },
		{ 6, FIELD(gpa), 0, "gpa got 0x0, expected 0xfff" },
		{ 7, FIELD(vector), 13, "vector got 13, expected 12" },
	};
	char difference[256];

	for (size_t i = 0; i < COUNT(changes); i++) {
		char *line = edited(good[changes[i].line], "", "");
		unsigned char *field = (unsigned char *)&answer + changes[i].offset;

		cr_assert_eq(parse(line), VECTOR_OK, "%s", reason);
		free(line);
		answer_as_expected(&v.expect, v.question.memory.count);
		cr_expect(vector_match(&v, &answer, difference, sizeof(difference)) && !*difference, "%s", difference);
		if (changes[i].size == sizeof(uint64_t))
			memcpy(field, &changes[i].value, sizeof(uint64_t));
		else
			memcpy(field, &(unsigned){ (unsigned)changes[i].value }, sizeof(unsigned));
		bool match = vector_match(&v, &answer, difference, sizeof(difference));

		cr_expect(match == !changes[i].difference &&
			  !strcmp(difference, changes[i].difference ? changes[i].difference : ""), "%zu => %s, expected %s", i,
			  difference, changes[i].difference ? changes[i].difference : "a match");
	}
#undef FIELD
#undef WORD
}

Test(vector, differences_that_fit)
{
	char difference[128], *line = edited(good[0], "", "");

	cr_assert_eq(parse(line), VECTOR_OK, "%s", reason);
	free(line);
	answer_as_expected(&v.expect, v.question.memory.count);
	answer.error_code = 1;
	answer.cr2 = 2;
	cr_assert(!vector_match(&v, &answer, difference, sizeof(difference)), "match");
	cr_assert_str_eq(difference, "error_code got 0x1, expected 0x10; cr2 got 0x2, expected 0xd0d82648", "%s",
			 difference);
	memset(difference, 'x', sizeof(difference));
	cr_assert(!vector_match(&v, &answer, difference, 11), "match");
	cr_assert(!strcmp(difference, "error_code") && difference[11] == 'x', "%s", difference);
	cr_assert(!vector_match(&v, &answer, NULL, 0), "match");
}

/* A #GP by a PDPTE has the vector 13, though the answer does not say so. */
Test(vector, vector_of_a_pdpte_fault)
{
	char difference[128];

	cr_assert_eq(parse_edited("'translated','pa':'0x5234'", "'pdpte-fault','vector':13"), VECTOR_OK, "%s", reason);
	answer_as_expected(&v.expect, v.question.memory.count);
	answer.vector = 0;
	cr_assert(vector_match(&v, &answer, difference, sizeof(difference)), "%s", difference);
	v.expect.vector = 12;
	cr_assert(!vector_match(&v, &answer, difference, sizeof(difference)), "match");
	cr_assert_str_eq(difference, "vector got 13, expected 12", "%s", difference);
}

/* A word that only mem_after or mem_mask has was 0, and can be compared. */
Test(vector, words_that_appear)
{
	char difference[128];

	cr_assert_eq(parse_edited("'mem_after':{'0x1000':'0x3127'}", "'mem_after':{'0x8':'0x20','0x10':'0x0'},"
				  "'mem_mask':{'0x18':'0x1'}"), VECTOR_OK, "%s", reason);
	cr_assert_eq(v.question.memory.count, 4, "words");
	for (unsigned i = 1; i < 4; i++)
		cr_assert(v.question.memory.address[i] == 8 * i && v.question.memory.value[i] == 0, "word %u", i);
	answer_as_expected(&v.expect, 4);
	cr_assert(answer.value[0] == 0x3107 && answer.value[1] == 0x20 && !answer.value[2] && !answer.value[3], "words");
	answer.value[3] = 2;
	cr_assert(vector_match(&v, &answer, difference, sizeof(difference)), "%s", difference);
	answer.value[1] = 0;
	answer.value[3] = 1;
	cr_assert(!vector_match(&v, &answer, difference, sizeof(difference)), "match");
	cr_assert_str_eq(difference,
			 "mem[0x8] got 0x0, expected 0x20; mem[0x18] got 0x1, expected 0x0 in the bits 0x1", "%s",
			 difference);
}

/* An answer with every field that the outcome has, printed, read back and compared. */
Test(vector, print_an_answer)
{
	static const struct { enum case_outcome outcome; unsigned have; } outcomes[] = {
		{ CASE_TRANSLATED, VECTOR_PA | VECTOR_PAGE_SHIFT | VECTOR_RIGHTS },
		{ CASE_PAGE_FAULT, VECTOR_ERROR_CODE | VECTOR_CR2 },
		{ CASE_PDPTE_FAULT, 0 },
		{ CASE_NON_CANONICAL, VECTOR_VECTOR },
		{ CASE_EPT_VIOLATION, VECTOR_EXIT_QUALIFICATION | VECTOR_GPA },
		{ CASE_EPT_MISCONFIG, VECTOR_GPA },
		{ CASE_NPF, VECTOR_ERROR_CODE | VECTOR_GPA },
		{ CASE_NO_MEMORY, 0 },
	};

	for (size_t i = 0; i < COUNT(good); i++) {
		for (size_t o = 0; o < COUNT(outcomes); o++) {
			char *line = edited(good[i], "", ""), *printed = NULL, difference[128];
			enum vector_result result;
			size_t size;
			FILE *out = open_memstream(&printed, &size);

			cr_assert(out, "no memory");
			cr_assert_eq(parse(line), VECTOR_OK, "%s", reason);
			free(line);
			answer_as_expected(&v.expect, v.question.memory.count);
			answer.outcome = outcomes[o].outcome;
			answer.pa = 0x123456789abcdef0;
			answer.page_shift = 21;
			answer.rights = CASE_U | CASE_X;
			answer.vector = answer.outcome == CASE_NON_CANONICAL ? 13 : 0;
			answer.error_code = 0xfedcba9876543210;
			answer.exit_qualification = 0x1ff;
			answer.cr2 = ALL;
			answer.gpa = 0xfff;
			cr_expect(!vector_print(out, "new", "test", &v.question, &answer, "a 'note'", "PERM-3, AD-2"), "%zu", o);
			fclose(out);
			result = vector_parse(printed, size, &again, reason, sizeof(reason));
			cr_expect(result == VECTOR_OK, "%s => %s %s", printed, result_names[result], reason);
			cr_expect(!strcmp(again.id, "new") && !strcmp(again.source, "test"), "%s", printed);
			cr_expect(strstr(printed, ",\"note\":\"a 'note'\",\"rules\":[\"PERM-3\",\"AD-2\"],"), "%s", printed);
			cr_expect(!memcmp(&again.question, &v.question, sizeof(v.question)), "another question: %s", printed);
			cr_expect(again.expect.have == outcomes[o].have, "%#x: %s", again.expect.have, printed);
			cr_expect(vector_match(&again, &answer, difference, sizeof(difference)), "%s: %s", printed, difference);
			free(printed);
		}
	}
}

/* What the format cannot say is not printed: no line, not even half a one. */
Test(vector, print_refuses)
{
	struct vector_expect e;
	char *printed = NULL, id[129];
	size_t size;
	FILE *out = open_memstream(&printed, &size);

	cr_assert(out, "no memory");
	cr_assert_eq(parse_edited("", ""), VECTOR_OK, "%s", reason);
	answer_as_expected(&v.expect, v.question.memory.count);
	memset(id, 'i', 128);
	id[128] = '\0';
	cr_expect(vector_print(out, id, "s", &v.question, &answer, NULL, NULL) == -1, "an id of 128 bytes");
	cr_expect(vector_print(out, "", "s", &v.question, &answer, NULL, NULL) == -1, "no id");
	cr_expect(vector_print(out, "a\nb", "s", &v.question, &answer, NULL, NULL) == -1, "an id of two lines");
	cr_expect(vector_print(out, "\xff", "s", &v.question, &answer, NULL, NULL) == -1, "an id that is not UTF-8");
	cr_expect(vector_print(out, "i", "", &v.question, &answer, NULL, NULL) == -1, "no source");
	cr_expect(vector_print(out, "i", "s", &v.question, &answer, "\xff", NULL) == -1, "a note that is not UTF-8");
	cr_expect(vector_print(out, "i", "s", &v.question, &answer, NULL, "A-1 \xff") == -1, "rules that are not UTF-8");
	answer.outcome = CASE_BAD_STATE;
	cr_expect(vector_print(out, "i", "s", &v.question, &answer, NULL, NULL) == -1, "BAD_STATE");
	answer.outcome = CASE_NON_CANONICAL;
	answer.vector = 14;
	cr_expect(vector_print(out, "i", "s", &v.question, &answer, NULL, NULL) == -1, "vector 14");
	answer.outcome = CASE_TRANSLATED;
	answer.page_shift = 64;
	cr_expect(vector_print(out, "i", "s", &v.question, &answer, NULL, NULL) == -1, "a page of 64 bits");
	answer.page_shift = 12;
	v.question.knobs = CASE_AD_AS_WALKED;
	cr_expect(vector_print(out, "i", "s", &v.question, &answer, NULL, NULL) == -1, "a knob");
	v.question.knobs = 0;
	v.question.features = 1 << 16;
	cr_expect(vector_print(out, "i", "s", &v.question, &answer, NULL, NULL) == -1, "a feature without a name");
	v.question.features = 0;
	v.question.maxphyaddr = 31;
	cr_expect(vector_print(out, "i", "s", &v.question, &answer, NULL, NULL) == -1, "maxphyaddr");
	v.question.maxphyaddr = 52;
	vector_expect_answer(&e, &v.question, &answer);
	e.have |= VECTOR_CR2;
	cr_expect(vector_print_expect(out, "i", "s", &v.question, &e, NULL, NULL) == -1, "CR2 of a translation");
	fflush(out);
	cr_expect(size == 0, "%s", printed);
	cr_expect(vector_print(out, "i", "s", &v.question, &answer, NULL, NULL) == 0, "the rest is good");
	fclose(out);
	cr_expect(size > 0, "nothing");
	free(printed);
	/* a device that takes nothing */
	out = fopen("/dev/full", "w");
	if (out) {
		setvbuf(out, NULL, _IONBF, 0);
		cr_expect(vector_print(out, "i", "s", &v.question, &answer, NULL, NULL) == -1, "a write error");
		fclose(out);
	}
}
