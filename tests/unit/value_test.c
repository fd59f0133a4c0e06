#include "check.h"

#include "gm/stream.h"
#include "gm/value.h"

#include <stdlib.h>

static gm_error e;

/* {"nil":nil,"yes":true,"i":-7,"f":0.5,"t":"text","b":bytes,"a":[1,2,{"k":3}]} */
static gm_value *make_sample(void) {
    gm_value *map = gm_value_map(), *inner = gm_value_map(), *array = gm_value_array();
    int failed = gm_map_set(inner, "k", gm_value_int(3));
    failed |=
        gm_array_push(array, gm_value_int(1)) | gm_array_push(array, gm_value_int(2)) | gm_array_push(array, inner);
    failed |= gm_map_set(map, "nil", gm_value_nil()) | gm_map_set(map, "yes", gm_value_bool(true));
    failed |= gm_map_set(map, "i", gm_value_int(-7)) | gm_map_set(map, "f", gm_value_float(0.5));
    failed |= gm_map_set(map, "t", gm_value_text("text")) | gm_map_set(map, "b", gm_value_bytes("a\0b", 3));
    failed |= gm_map_set(map, "a", array);
    CHECK(!failed);
    return map;
}

static void test_map(void) {
    gm_value *map = make_sample();
    CHECK(map->length == 7);
    CHECK(gm_map_int(map, "i", 0) == -7 && gm_map_int(map, "f", 9) == 9 && gm_map_int(map, "none", 9) == 9);
    CHECK(gm_map_float(map, "f", 0) == 0.5 && gm_map_float(map, "i", 0) == -7 && gm_map_float(map, "t", 2) == 2);
    CHECK_TEXT(gm_map_text(map, "t", "?"), "text");
    CHECK_TEXT(gm_map_text(map, "b", "?"), "?");
    CHECK(gm_map_get(NULL, "i") == NULL && gm_map_get(gm_map_get(map, "i"), "i") == NULL);
    CHECK(gm_map_find(map, "a") && gm_map_find(map, "a")->length == 3 && !gm_map_find(map, "z"));
    CHECK(gm_map_set(map, "i", gm_value_int(8)) == 0 && map->length == 7 && gm_map_int(map, "i", 0) == 8);
    CHECK(strcmp(map->keys[2], "i") == 0);
    gm_map_remove(map, "nil");
    gm_map_remove(map, "none");
    CHECK(map->length == 6 && strcmp(map->keys[0], "yes") == 0 && gm_map_int(map, "i", 0) == 8);
    CHECK(gm_map_set(map, "x", NULL) == -1 && map->length == 6);
    CHECK(gm_array_push(gm_map_find(map, "a"), NULL) == -1);
    gm_value_free(map);
    gm_value_free(NULL);
}

static void test_copy_and_equal(void) {
    gm_value *a = make_sample(), *b = gm_value_copy(a);
    CHECK(b && gm_value_equal(a, b) && gm_value_equal(b, a));
    CHECK(gm_map_set(gm_map_find(b, "a")->items[2], "k", gm_value_int(4)) == 0 && !gm_value_equal(a, b));
    gm_value_free(b);
    b = gm_value_copy(a);
    gm_map_remove(b, "nil");
    CHECK(!gm_value_equal(a, b));
    CHECK(gm_map_set(b, "nil", gm_value_nil()) == 0 && gm_value_equal(a, b)); /* another order */
    CHECK(gm_value_equal(NULL, NULL) && !gm_value_equal(a, NULL) && !gm_value_equal(NULL, a));
    CHECK(gm_value_copy(NULL) == NULL);
    gm_value_free(a);
    gm_value_free(b);
}

static void test_pack(void) {
    gm_value *v = make_sample();
    unsigned char *bytes = NULL;
    size_t n = 0;
    CHECK(gm_value_pack(v, &bytes, &n, &e) == 0 && n > 0);
    gm_value *back = gm_value_unpack(bytes, n, &e);
    CHECK(back && gm_value_equal(v, back));
    gm_value_free(back);
    for (size_t cut = 0; cut < n; cut++) {
        back = gm_value_unpack(bytes, cut, &e);
        CHECK(!back && strstr(e.text, "cut off"));
        gm_value_free(back);
    }
    free(bytes);
    gm_value_free(v);
}

static gm_value *unpack_text(const char *bytes, size_t n) {
    return gm_value_unpack((const unsigned char *)bytes, n, &e);
}
#define UNPACK(literal) unpack_text(literal, sizeof(literal) - 1)

static void test_unpack_forms(void) {
    gm_value *v =
        UNPACK("\xDC\x00\x10\x05\xE0\xCC\xFF\xCD\x01\x00\xCE\x00\x01\x00\x00\xCF\x00\x00\x00\x01\x00\x00\x00\x00"
               "\xD0\x80\xD1\xFF\x00\xD2\xFF\xFF\x00\x00\xD3\xFF\xFF\xFF\xFF\x00\x00\x00\x00\xCA\x3F\x00\x00\x00"
               "\xD9\x01"
               "a\xDA\x00\x01"
               "b\xC4\x01"
               "c\xDC\x00\x00\xDE\x00\x00");
    static const int64_t numbers[] = {
        5, -32, 255, 256, 65536, INT64_C(1) << 32, -128, -256, -65536, -(INT64_C(1) << 32)};
    CHECK(v && v->kind == GM_ARRAY && v->length == 16 && v->items[0]->integer == 5);
    for (size_t i = 0; v && i < 10; i++) CHECK(v->items[i]->kind == GM_INT && v->items[i]->integer == numbers[i]);
    CHECK(v && v->items[10]->number == 0.5 && v->items[11]->kind == GM_TEXT && v->items[13]->kind == GM_BYTES);
    gm_value_free(v);
    v = UNPACK("\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    CHECK(v && v->kind == GM_FLOAT && v->number == 18446744073709551616.0);
    gm_value_free(v);
}

static void check_refused(gm_value *v, const char *why) {
    CHECK(!v);
    if (v || !strstr(e.text, why)) {
        printf("# '%s' does not say '%s'\n", e.text, why);
        check_failed = true;
    }
    gm_value_free(v);
}

static void test_unpack_refusals(void) {
    check_refused(UNPACK(""), "cut off");
    check_refused(UNPACK("\x01\x02"), "1 bytes behind the value");
    check_refused(UNPACK("\xC1"), "begins nothing");
    check_refused(UNPACK("\xDD\xFF\xFF\xFF\xFF"), "cut off");
    check_refused(UNPACK("\xDB\xFF\xFF\xFF\xFF"), "cut off");
    check_refused(UNPACK("\xC6\xFF\xFF\xFF\xFF"), "cut off");
    check_refused(UNPACK("\xDF\xFF\xFF\xFF\xFF"), "keys");
    check_refused(UNPACK("\x81\x01\x02"), "not text");
    check_refused(UNPACK("\x82\xA1k\x01\xA1k\x02"), "'k' twice");
    check_refused(UNPACK("\x81\xA2k\0\x01"), "NUL");
    check_refused(UNPACK("\xD4\x01\x02"), "extension");
    unsigned char nested[40];
    memset(nested, 0x91, sizeof nested);
    nested[39] = 1;
    check_refused(gm_value_unpack(nested, sizeof nested, &e), "nested");
    gm_value *v = gm_value_unpack(nested + 39 - GM_DEPTH_MAX, GM_DEPTH_MAX + 1, &e);
    CHECK(v);
    gm_value_free(v);
    check_refused(gm_value_unpack(nested + 38 - GM_DEPTH_MAX, GM_DEPTH_MAX + 2, &e), "nested");
}

static void test_pack_depth(void) {
    gm_value *v = gm_value_int(1);
    unsigned char *bytes;
    size_t n;
    for (int i = 0; i <= GM_DEPTH_MAX; i++) {
        gm_value *outer = gm_value_array();
        CHECK(gm_array_push(outer, v) == 0);
        v = outer;
    }
    CHECK(gm_value_pack(v, &bytes, &n, &e) == -1 && strstr(e.text, "nested"));
    CHECK(gm_value_pack(v->items[0], &bytes, &n, &e) == 0);
    free(bytes);
    gm_value_free(v);
}

int main(void) {
    RUN(test_map);
    RUN(test_copy_and_equal);
    RUN(test_pack);
    RUN(test_unpack_forms);
    RUN(test_unpack_refusals);
    RUN(test_pack_depth);
    return check_done();
}
