/* What a function of the addon was called with, and what it answers. */
#ifndef XFRM_ARGUMENTS_H
#define XFRM_ARGUMENTS_H

#include <node_api.h>

#include <errno.h>
#include <stdint.h>

#include <string>
#include <vector>

namespace {

struct Arguments {
	napi_env env;
	size_t count = 16;
	napi_value values[16];

	Arguments(napi_env environment, napi_callback_info info) : env(environment) {
		napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
	}
	int32_t number(size_t i) const {
		int32_t value = 0;
		napi_get_value_int32(env, values[i], &value);
		return value;
	}
	double wide(size_t i) const {
		double value = 0;
		napi_get_value_double(env, values[i], &value);
		return value;
	}
	/* Memory of a typed array; nullptr for anything else, null among it. */
	uint8_t *bytes(size_t i, size_t *octets = nullptr) const {
		napi_typedarray_type type;
		size_t length = 0;
		void *data = nullptr;
		if (napi_get_typedarray_info(env, values[i], &type, &length, &data, nullptr, nullptr) != napi_ok) {
			length = 0;
			data = nullptr;
		}
		const bool wide_elements = type == napi_int32_array || type == napi_uint32_array;
		if (octets) *octets = data == nullptr ? 0 : length * (wide_elements ? 4 : type == napi_float64_array ? 8 : 1);
		return static_cast<uint8_t *>(data);
	}
	std::string text(size_t i) const { return textOf(values[i]); }
	std::string textOf(napi_value value) const {
		size_t octets = 0;
		napi_get_value_string_utf8(env, value, nullptr, 0, &octets);
		std::string text(octets, '\0');
		napi_get_value_string_utf8(env, value, text.data(), octets + 1, &octets);
		return text;
	}
	std::vector<std::string> texts(size_t i) const {
		uint32_t length = 0;
		napi_get_array_length(env, values[i], &length);
		std::vector<std::string> list;
		for (uint32_t k = 0; k < length; k++) {
			napi_value value;
			napi_get_element(env, values[i], k, &value);
			list.push_back(textOf(value));
		}
		return list;
	}
	napi_value answer(int64_t value) const {
		napi_value result;
		napi_create_int64(env, value < 0 ? -errno : value, &result);
		return result;
	}
	napi_value plain(int64_t value) const {
		napi_value result;
		napi_create_int64(env, value, &result);
		return result;
	}
};

}  // namespace

#endif
